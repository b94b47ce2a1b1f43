"""COCO-Stuff (164k or 10k, whichever exists) with the study's schedule: 512x512 crops, batch 8, 80,000 iterations.

    segattn train coco_stuff --data-root PATH/TO/coco_stuff164k --head danet
    torchrun --nproc-per-node 4 -m segattn train coco_stuff --data-root PATH/TO/coco_stuff164k --head danet

Hours: not measured here; a crop has 44 % of the pixels of a 769x769 crop, so somewhat less than half the time of `cityscapes`.

The study does not use COCO-Stuff. This is its schedule with mmsegmentation's crop; images have a short side of 512 before random
scaling and in evaluation. mmsegmentation publishes no result for these networks; for orientation, its PSPNet and DeepLabv3
(164k, ResNet-101, 80,000 iterations at batch 16, single scale / several scales and flip): 40.34 / 40.79 and 40.87 / 41.50
(https://github.com/open-mmlab/mmsegmentation).
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="coco_stuff",
        data=Data(name="coco_stuff", root="data/coco_stuff164k"),
        augmentation=Augmentation(crop_size=(512, 512), scale_range=(0.5, 2.0), max_class_share=0.75, short_side=512),
        model=Model(
            backbone="resnet101", output_stride=8, align_corners=False, pretrained="mmsegmentation:resnet101_v1c"
        ),
        optimization=Optimization(iterations=80_000, batch_size=8, lr=1e-2, min_lr=1e-4, weight_decay=5e-4),
        evaluation=Evaluation(mode="whole", short_side=512),
    )
