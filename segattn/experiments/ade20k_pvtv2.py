"""ADE20K with PVTv2-B2 by its published recipe: 512x512 crops, batch 16, 80,000 iterations of AdamW.

    segattn train ade20k_pvtv2 --data-root PATH/TO/ade --head danet

Hours: not measured here; as many images as twice `ade20k`.

Source: configs/sem_fpn/PVTv2/fpn_pvtv2_B2_ade20k_40k.py in https://github.com/whai362/PVTv2-Seg: AdamW with rate 1e-4 and decay
1e-4 for 80,000 iterations of 16 images, polynomial with power 0.9 to 0, no warm-up. (It runs half of the iterations with twice
the images and twice the rate, and says so.) Stochastic depth 0.1 is that of pvtv2.py beside it.

Differences: the head is one of ours, on the last map (stride 32), instead of Semantic FPN.
"""

from dataclasses import replace

from segattn.config import Experiment, Model, Optimization
from segattn.experiments import ade20k_swin


def experiment() -> Experiment:
    return replace(
        ade20k_swin.experiment(),
        name="ade20k_pvtv2",
        model=Model(
            backbone="timm:pvt_v2_b2",
            output_stride=32,
            align_corners=False,
            pretrained="timm:pvt_v2_b2",
            backbone_options={"drop_path": 0.1},
        ),
        optimization=Optimization(
            optimizer="adamw", iterations=80_000, batch_size=16, lr=1e-4, min_lr=0.0, weight_decay=1e-4
        ),
    )
