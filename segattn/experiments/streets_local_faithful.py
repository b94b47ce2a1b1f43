"""Faithful heads of the zoo's trunk `streets-local`, where they differ from the controlled ones.

    segattn train streets_local -o runs/streets_local
    segattn study streets_local_faithful --heads danet denoised_nl emanet flanet isanet reconet --features-limit 1MB

Each head learns on the frozen trunk. What has the same name and shape in the trunk's controlled head starts from there, the rest
is random, so that this takes more iterations than `streets_local_heads`. About fifty minutes on one core with AMX.
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import streets_local_heads


def experiment() -> Experiment:
    heads = streets_local_heads.experiment()
    return replace(
        heads,
        name="streets_local_faithful",
        model=replace(heads.model, mode="faithful"),
        optimization=replace(heads.optimization, iterations=1500, warmup=100),
    )
