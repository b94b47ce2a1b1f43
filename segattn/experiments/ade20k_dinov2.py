"""ADE20K on a frozen DINOv2 ViT-S/14 by the recipe of its linear head: 518x518 crops, batch 16, 40,000 iterations of AdamW.

    segattn train ade20k_dinov2 --data-root PATH/TO/ade --head danet

Hours: not measured here; `segattn study ade20k_dinov2` computes the frozen backbone's maps once for all heads.

Source: Oquab et al., arXiv 2304.07193, section 7.4, and the configuration dinov2_vits14_ade20k_linear_config.py that
https://github.com/facebookresearch/dinov2 names for ADE20K: AdamW with rate 1e-3 and decay 1e-4, warm-up over 1,500 iterations
from 1e-6 of the rate, polynomial with power 1 to 0, windows of 512 with stride 341.

As there, the head sees the last map alone, at stride 14: a pyramid over it would stay at random.

Differences: the head is one of ours instead of batch norm and one linear layer; crops and windows of 518 instead of 512 pixels,
which are 37 whole patches, and a stride of 345; a fixed number of augmented copies of each image, as in all head-only training.
The authors publish no recipe for all parameters; ours is --optimization.train all --optimization.lr 6e-5
--optimization.layer-decay 0.9.
"""

from dataclasses import replace

from segattn.config import Evaluation, Experiment, Model, Optimization
from segattn.experiments import ade20k


def experiment() -> Experiment:
    study = ade20k.experiment()
    return replace(
        study,
        name="ade20k_dinov2",
        augmentation=replace(study.augmentation, crop_size=(518, 518), short_side=518),
        model=Model(
            backbone="timm:vit_small_patch14_dinov2",
            output_stride=14,
            align_corners=False,
            pretrained="timm:vit_small_patch14_dinov2",
            backbone_options={"pyramid": False},
        ),
        optimization=Optimization(
            train="head",
            optimizer="adamw",
            iterations=40_000,
            batch_size=16,
            lr=1e-3,
            min_lr=0.0,
            weight_decay=1e-4,
            poly_power=1.0,
            warmup=1_500,
            warmup_ratio=1e-6,
        ),
        evaluation=Evaluation(mode="slide", crop_size=(518, 518), stride=(345, 345), short_side=518),
    )
