"""VOC 2012 with the augmented list if present, with the study's schedule: 512x512 crops, batch 8, 80,000 iterations, 21 classes.

    segattn train voc --data-root PATH/TO/VOCdevkit --head danet
    torchrun --nproc-per-node 4 -m segattn train voc --data-root PATH/TO/VOCdevkit --head danet

Hours: not measured here; a crop has 44 % of the pixels of a 769x769 crop, so somewhat less than half the time of `cityscapes`.

The study does not use VOC. This is its schedule with mmsegmentation's crop; images have a short side of 512 before random
scaling and in evaluation. Figures to compare with (mmsegmentation, val, single scale / several scales and flip, mIoU %), trained
for 40,000 iterations at batch 16, as many images as here:

    non_local 78.27 / 79.12   danet 76.51 / 77.32   ccnet 77.87 / 78.90   isanet 78.12 / 79.04   fcn 69.91 / 72.38
    (https://github.com/open-mmlab/mmsegmentation)
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="voc",
        data=Data(name="voc", root="data/VOCdevkit"),
        augmentation=Augmentation(crop_size=(512, 512), scale_range=(0.5, 2.0), max_class_share=0.75, short_side=512),
        model=Model(
            backbone="resnet101", output_stride=8, align_corners=False, pretrained="mmsegmentation:resnet101_v1c"
        ),
        optimization=Optimization(iterations=80_000, batch_size=8, lr=1e-2, min_lr=1e-4, weight_decay=5e-4),
        evaluation=Evaluation(mode="whole", short_side=512),
    )
