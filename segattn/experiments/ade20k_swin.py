"""ADE20K with Swin-T by its published recipe: 512x512 crops, batch 16, 160,000 iterations of AdamW.

    segattn train ade20k_swin --data-root PATH/TO/ade --head danet

Hours: not measured here; twice the images of `ade20k`, on a smaller backbone.

Source: Liu et al., arXiv 2103.14030, section 4.3 and appendix; configs/swin in https://github.com/open-mmlab/mmsegmentation:
AdamW with rate 6e-5 and decay 0.01, none on norms and tables of relative positions; warm-up over 1,500 iterations from 1e-6 of
the rate; polynomial with power 1 to 0; stochastic depth 0.3. With UPerNet it reaches 44.41 % mIoU at a single scale.

Differences: the head is one of ours, on the last map (stride 32; Swin cannot be dilated), instead of UPerNet on four maps. Biases
have no decay either.
"""

from dataclasses import replace

from segattn.config import Evaluation, Experiment, Model, Optimization
from segattn.experiments import ade20k


def experiment() -> Experiment:
    study = ade20k.experiment()
    return replace(
        study,
        name="ade20k_swin",
        augmentation=replace(study.augmentation, crop_size=(512, 512), short_side=512),
        model=Model(
            backbone="timm:swin_tiny_patch4_window7_224",
            output_stride=32,
            align_corners=False,
            pretrained="timm:swin_tiny_patch4_window7_224",
            backbone_options={"drop_path": 0.3},
        ),
        optimization=Optimization(
            optimizer="adamw",
            iterations=160_000,
            batch_size=16,
            lr=6e-5,
            min_lr=0.0,
            weight_decay=0.01,
            decay_norm_and_bias=False,
            poly_power=1.0,
            warmup=1_500,
            warmup_ratio=1e-6,
        ),
        evaluation=Evaluation(mode="whole", short_side=512),
    )
