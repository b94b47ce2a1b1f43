"""The study of `findings_local` on the zoo's trunk `streets`, which sees 311 pixels: nearly a whole scene.

    segattn study findings_full --heads all --seeds 5

A run takes less than a minute of one core with AMX, the study about 90 minutes. docs/findings.md rests on it.
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import findings_local

SEEDS = 5


def experiment() -> Experiment:
    local = findings_local.experiment()
    model = replace(local.model, pretrained="streets", backbone_options={"width": 32})
    return replace(local, name="findings_full", model=model)
