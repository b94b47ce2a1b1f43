"""`segattn flops --checkpoint`: the cost of trained networks."""

from __future__ import annotations

from dataclasses import replace

from segattn.cli import trained
from segattn.cli.flops.arguments import FlopsArguments
from segattn.cli.values import size
from segattn.records import Cost


def costs(chosen: FlopsArguments) -> list[Cost]:
    """The cost of each network; it is called by its own name in place of its head's.

    Raises:
        ValueError: no such network, or an option that config.json decides.
    """
    from segattn.cost import network_cost

    trained.refuse(chosen, ("heads", "backbone", "output_stride", "num_classes", "in_channels", "mode"))
    for name in ("operators", "cross_check"):
        if getattr(chosen, name):
            raise ValueError(f"--{name.replace('_', '-')} is for --heads or --module; leave it out with --checkpoint")
    counted = []
    for network in trained.read(chosen.checkpoint, chosen.allow_module):
        for input_size in [size(text) for text in chosen.input] or [network.size]:
            cost = network_cost(network.model.head, input_size=input_size, **network.described())
            counted.append(replace(cost, head=network.name))
    return counted
