"""The study of `findings_local` with the whole network trained: does the order on frozen features hold?

    segattn data pack streets --data-options "height=256,width=512,num_images=4000" --splits train -o runs/streets-packed
    segattn data pack streets --data-options "height=256,width=512,num_images=200" --splits val -o runs/streets-packed
    segattn study findings_whole --heads fcn ccnet star non_local isanet --seeds 3

Every network starts from the trunk `streets-local` and its convolutions, as there, and trains the backbone too, so that it can
shape its maps for the mechanism. Six minutes a run on one core of an AMD EPYC without AMX. docs/findings.md rests on this study.
"""

from dataclasses import replace

from segattn.config import Evaluation, Experiment
from segattn.experiments import findings_local, streets

SEEDS = 3


def experiment() -> Experiment:
    local = findings_local.experiment()
    return replace(
        local,
        name="findings_whole",
        data=streets.experiment().data,
        optimization=replace(local.optimization, train="all", lr=0.05),
        evaluation=Evaluation(examples=1),
        checkpoint_every=300,
    )
