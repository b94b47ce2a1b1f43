"""ADE20K with a plain ViT-B/16 by mmsegmentation's recipe: 512x512 crops, batch 16, 160,000 iterations of AdamW.

    segattn train ade20k_vit --data-root PATH/TO/ade --head danet

Hours: not measured here.

Source: configs/vit/vit_vit-b16-ln_mln_upernet_8xb2-160k_ade20k-512x512.py in https://github.com/open-mmlab/mmsegmentation: rate,
decay, warm-up and schedule of `ade20k_swin`; no decay on norms, positions and the class token; stochastic depth 0.1; the
backbone's last norm is kept.

Differences: the head is one of ours instead of UPerNet; a simple pyramid over the last block takes the place of mmsegmentation's
neck over four blocks; biases have no decay either. The weights are timm's later ones (augreg2), and images are normalised as they
expect, with mean and deviation 0.5.
"""

from dataclasses import replace

from segattn.config import Experiment, Model
from segattn.experiments import ade20k_swin


def experiment() -> Experiment:
    return replace(
        ade20k_swin.experiment(),
        name="ade20k_vit",
        model=Model(
            backbone="timm:vit_base_patch16_224",
            align_corners=False,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            pretrained="timm:vit_base_patch16_224",
            backbone_options={"drop_path": 0.1},
        ),
    )
