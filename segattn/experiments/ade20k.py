"""ADE20K as in the study: ResNet-101 at output stride 8, 520x520 crops, batch 8, 80,000 iterations, 150 classes.

    segattn train ade20k --data-root PATH/TO/ade --head danet
    torchrun --nproc-per-node 4 -m segattn train ade20k --data-root PATH/TO/ade --head danet

Hours: not measured here; a crop has 46 % of the pixels of a 769x769 crop, so somewhat less than half the time of `cityscapes`.

Images are brought to a short side of 520 pixels (mmsegmentation: 512, long side at most 2048) before random scaling, and
before evaluation, where the logits are resized to the label's own size. A grid of 65x65 positions: crop 520 with align_corners.

Figures to compare with (mmsegmentation, val, single scale / several scales and flip, mIoU %), trained with crops of 512 and
batch 16, twice the study's:

    non_local 42.90 / 44.27   danet 43.64 / 45.19   dnlnet 43.76 / 44.91   ccnet 43.97 / 45.13   isanet 43.51 / 44.38
    fcn       39.61 / 40.83   (https://github.com/open-mmlab/mmsegmentation)

The study quotes 46.68 for FLANet without saying at which scales.
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="ade20k",
        data=Data(name="ade20k", root="data/ade"),
        augmentation=Augmentation(crop_size=(520, 520), scale_range=(0.5, 2.0), max_class_share=0.75, short_side=520),
        model=Model(
            backbone="resnet101", output_stride=8, align_corners=True, pretrained="mmsegmentation:resnet101_v1c"
        ),
        optimization=Optimization(iterations=80_000, batch_size=8, lr=1e-2, min_lr=1e-4, weight_decay=1e-4),
        evaluation=Evaluation(mode="whole", short_side=520),
    )
