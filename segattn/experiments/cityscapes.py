"""Cityscapes as in the study: ResNet-101 at output stride 8, 769x769 crops, batch 8, 80,000 iterations.

    segattn train cityscapes --data-root PATH/TO/cityscapes --head danet
    torchrun --nproc-per-node 4 -m segattn train cityscapes --data-root PATH/TO/cityscapes --head danet
    segattn evaluate runs/cityscapes/danet-faithful-s0 --flip --scales 0.5 0.75 1 1.25 1.5 1.75

Hours: not measured here. `segattn flops` counts 1.1 (isanet) to 2.1 TFLOPs (flanet) an image forward, three times that with the
backward pass, times 8 x 80,000 images is 2 to 4 EFLOPs: 6 to 11 hours at a sustained 100 TFLOP/s. Memory: mmsegmentation reports
10 to 13 GB a GPU for two crops.

The study states iterations, batch, learning rate with its polynomial decay, SyncBN and crop. Power 0.9, min_lr 1e-4, momentum,
weight decay, auxiliary weight, scales, flip, photometric distortion, at most 75 % of one class per crop and the sliding window
are mmsegmentation's, whose results with this recipe are (val, single scale / several scales and flip, mIoU %):

    non_local 79.40 / 80.85   danet  80.47 / 82.02   dnlnet 79.41 / 80.68   ccnet 79.45 / 80.66
    emanet    79.62 / 81.00   isanet 80.61 / 81.59   fcn    75.52 / 76.61   (https://github.com/open-mmlab/mmsegmentation)

The study quotes 82.1 for FLANet without saying at which scales. Its authors' recipes add OHEM, an option here
(`--optimization.ohem`), and some add class weights (`--optimization.class-balance log`).
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="cityscapes",
        data=Data(name="cityscapes", root="data/cityscapes"),
        augmentation=Augmentation(crop_size=(769, 769), scale_range=(0.5, 2.0), max_class_share=0.75),
        model=Model(
            backbone="resnet101", output_stride=8, align_corners=True, pretrained="mmsegmentation:resnet101_v1c"
        ),
        optimization=Optimization(iterations=80_000, batch_size=8, lr=1e-2, min_lr=1e-4, weight_decay=5e-4),
        evaluation=Evaluation(mode="slide", crop_size=(769, 769), stride=(513, 513)),
    )
