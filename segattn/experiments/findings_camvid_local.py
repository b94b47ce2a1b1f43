"""The study of `findings_camvid` with a backbone that sees 67 pixels: the first two stages of EfficientNet-Lite0.

    segattn study findings_camvid_local --heads all --data.root camvid --model.pretrained lite0.safetensors

Maps of stride 8 and 40 channels, heads of 64 channels from random weights, 1,200 steps: two to four minutes a run on one core.
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import findings_camvid

SEEDS = 3


def experiment() -> Experiment:
    whole = findings_camvid.experiment()
    return replace(
        whole,
        name="findings_camvid_local",
        model=replace(whole.model, output_stride=8, backbone_options={"stages": 2}, head_options={"channels": 64}),
        optimization=replace(whole.optimization, iterations=1200),
        checkpoint_every=1200,
    )
