"""The networks of the zoo's trunk `streets`: every head on the frozen trunk, from the trunk's own convolutions.

    segattn train streets -o runs/streets
    segattn study streets_heads --features-limit 1MB

A controlled head holds the convolutions of the trunk's FCN head and its mechanism, which starts at random. About ten minutes
on one core with AMX.
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import streets, streets_local_heads


def experiment() -> Experiment:
    trunk, heads = streets.experiment(), streets_local_heads.experiment()
    return replace(
        trunk,
        name="streets_heads",
        augmentation=heads.augmentation,
        model=replace(trunk.model, pretrained="runs/streets", init_head="trunk"),
        optimization=replace(heads.optimization, iterations=300),
        validate_every=0,
    )
