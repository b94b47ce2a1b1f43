"""The study of `findings_camvid` with the whole network trained, each from its own network of that study.

    segattn study findings_camvid --heads all --seeds 5 --data.root camvid --model.pretrained lite0.safetensors
    segattn study findings_camvid_whole --heads fcn denoised_nl hamburger psp large_kernel efficient --data.root camvid \\
        --init-from runs/findings_camvid

Backbone, mechanism and head learn 200 steps more, at less than half the learning rate. Without `--init-from` they start from
ImageNet weights and a random head, which is another study. Six minutes a run on one core of an AMD EPYC without AMX.
docs/findings.md rests on it.
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import findings_camvid

SEEDS = 3


def experiment() -> Experiment:
    frozen = findings_camvid.experiment()
    return replace(
        frozen,
        name="findings_camvid_whole",
        optimization=replace(frozen.optimization, train="all", lr=0.02, iterations=200, warmup=20),
        checkpoint_every=200,
        log_every=20,
    )
