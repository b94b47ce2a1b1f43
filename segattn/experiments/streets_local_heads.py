"""The networks of the zoo's trunk `streets-local`: every head on the frozen trunk, from its own state there.

    segattn train streets_local -o runs/streets_local
    segattn study streets_local_heads --features-limit 1MB

The trunk is trained under all ten controlled heads; here each of them goes on alone, on the frozen backbone, with the learning
rate falling to zero. Side by side (`--features-limit 1MB`), one forward pass serves all heads. About twenty minutes on one core
with AMX.
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import streets_local


def experiment() -> Experiment:
    trunk = streets_local.experiment()
    return replace(
        trunk,
        name="streets_local_heads",
        model=replace(
            trunk.model,
            head="fcn",
            mode="controlled",
            head_options={"channels": 64},
            pretrained="runs/streets_local",
            init_head="trunk",
        ),
        optimization=replace(trunk.optimization, train="head", iterations=600, warmup=30, ema_decay=0.99),
        validate_every=0,
    )
