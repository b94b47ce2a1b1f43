"""Mechanisms as the token mixers of a small transformer, in place of its self-attention, trained from random weights.

    segattn data pack streets --data-options "height=256,width=512,num_images=4000" --splits train -o runs/streets-packed
    segattn data pack streets --data-options "height=256,width=512,num_images=200" --splits val -o runs/streets-packed
    segattn study findings_mixers --heads segattn.heads.parts.encoder --seeds 3 --iterations 400 \\
        --allow-module segattn.heads.parts.encoder \\
        --sweep model.head_options.mixer=attention,pooling,none,ccnet,emanet,flanet,isanet,agent

Squares of 8x8 pixels are embedded and mixed by nothing but the mixer (`segattn/heads/parts/encoder.py`). Scenes are predicted in
windows of the crop's size: on whole ones every position would meet four times as many others, at places that it has never seen.
One to four minutes a run of 400 iterations on one core. docs/findings.md rests on this study.
"""

from dataclasses import replace

from segattn.config import Evaluation, Experiment, Model
from segattn.experiments import streets

SEEDS = 3


def experiment() -> Experiment:
    trunk = streets.experiment()
    return replace(
        trunk,
        name="findings_mixers",
        model=Model(
            head="segattn.heads.parts.encoder",
            backbone="patches",
            align_corners=False,
            auxiliary_weight=0.0,
            head_options={"mixer": "attention", "depth": 4, "channels": 96},
            backbone_options={"width": 16},
        ),
        optimization=replace(
            trunk.optimization,
            iterations=1000,
            optimizer="adamw",
            lr=2e-3,
            weight_decay=0.05,
            decay_norm_and_bias=False,
            schedule="cosine",
            warmup=50,
            clip_norm=1.0,
            ema_decay=0.99,
        ),
        evaluation=Evaluation(
            mode="slide",
            crop_size=trunk.augmentation.crop_size,
            stride=trunk.augmentation.crop_size,
            examples=1,
            without_attention=False,
        ),
        validate_every=0,
    )
