"""ADE20K with BEiT-B by its published recipe: 640x640 crops, batch 16, 160,000 iterations, layer-wise decay.

    segattn train ade20k_beit --data-root PATH/TO/ade --head danet

Hours: not measured here; a crop has 1.5 times the pixels of one of `ade20k`, and there are four times as many.

Source: upernet_beit_base_12_640_slide_160k_ade20k_pt2ft.py of BEiT's authors (Bao et al., arXiv 2106.08254) in
https://github.com/microsoft/unilm, and configs/beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py in
https://github.com/open-mmlab/mmsegmentation: AdamW with rate 3e-5 and decay 0.05, none on norms and biases; a rate that falls by
0.9 a block from the head to the image; warm-up over 1,500 iterations from 1e-6 of the rate; polynomial with power 1 to 0;
stochastic depth 0.1; windows of 640 with stride 426. With UPerNet it reaches 53.08 % mIoU at a single scale.

Differences: the head is one of ours, and a simple pyramid over the last block takes the place of the authors' over four blocks.
The weights are fine-tuned on ImageNet-1k after ImageNet-22k; images are normalised as they expect, with mean and deviation 0.5.
"""

from dataclasses import replace

from segattn.config import Evaluation, Experiment, Model
from segattn.experiments import ade20k_swin


def experiment() -> Experiment:
    swin = ade20k_swin.experiment()
    return replace(
        swin,
        name="ade20k_beit",
        augmentation=replace(swin.augmentation, crop_size=(640, 640), short_side=640),
        model=Model(
            backbone="timm:beit_base_patch16_224",
            align_corners=False,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            pretrained="timm:beit_base_patch16_224",
            backbone_options={"drop_path": 0.1},
        ),
        optimization=replace(swin.optimization, lr=3e-5, weight_decay=0.05, layer_decay=0.9),
        evaluation=Evaluation(mode="slide", crop_size=(640, 640), stride=(426, 426), short_side=640),
    )
