"""Cityscapes with Swin-T: 512x1024 crops, batch 16, 90,000 iterations of AdamW, a tenth of the rate for the backbone.

    segattn train cityscapes_swin --data-root PATH/TO/cityscapes --head danet

Hours: not measured here.

Source: Swin's authors publish no recipe for Cityscapes. This is Mask2Former's (Cheng et al., arXiv 2112.01527),
configs/mask2former/mask2former_swin-t_8xb2-90k_cityscapes-512x1024.py in https://github.com/open-mmlab/mmsegmentation: AdamW with
rate 1e-4, 1e-5 for the backbone, decay 0.05, none on norms and tables of relative positions; gradients clipped to norm 0.01;
polynomial with power 0.9 to 0; no warm-up; stochastic depth 0.3; whole images in evaluation.

Differences: the head is one of ours, on the last map (stride 32), with cross-entropy instead of losses of matched masks. Biases
have no decay either.
"""

from dataclasses import replace

from segattn.config import Evaluation, Experiment, Model, Optimization
from segattn.experiments import cityscapes


def experiment() -> Experiment:
    study = cityscapes.experiment()
    return replace(
        study,
        name="cityscapes_swin",
        augmentation=replace(study.augmentation, crop_size=(512, 1024)),
        model=Model(
            backbone="timm:swin_tiny_patch4_window7_224",
            output_stride=32,
            align_corners=False,
            pretrained="timm:swin_tiny_patch4_window7_224",
            backbone_options={"drop_path": 0.3},
        ),
        optimization=Optimization(
            optimizer="adamw",
            iterations=90_000,
            batch_size=16,
            lr=1e-5,
            head_lr_factor=10.0,
            min_lr=0.0,
            weight_decay=0.05,
            decay_norm_and_bias=False,
            clip_norm=0.01,
        ),
        evaluation=Evaluation(mode="whole"),
    )
