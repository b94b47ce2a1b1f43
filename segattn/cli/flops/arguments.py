"""The options of `segattn flops`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from segattn.cli.values import Modules
from segattn.heads import Mode


@dataclass(frozen=True)
class FlopsArguments:
    """Count the cost of mechanism, head and whole network for one image, on the `meta` device: nothing is computed or allocated.

        segattn flops --input 769x769
        segattn flops --heads danet ccnet --input 512x1024 --backbone resnet18
        segattn flops --checkpoint runs/quick streets

    Every operator has a formula; an operator without one is an error. Attention is counted by its equation, whichever
    implementation runs.
    """

    heads: tuple[str, ...] = ("all",)
    """Heads to count: names of `segattn heads`, dotted module paths, study, baselines, or all."""
    checkpoint: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")] = ()
    """Count trained networks instead: folders of runs or studies, or names of `segattn zoo`; by default at their own size."""
    module: Annotated[str | None, tyro.conf.arg(metavar="MODULE.NAME")] = None
    """Count a network of your own instead: dotted path of a class or of a function that returns a module, called without
    arguments, such as mypkg.nets.MyNet."""
    input: Annotated[tuple[str, ...], tyro.conf.arg(metavar="HEIGHTxWIDTH ...")] = ()
    """Image sizes in pixels; by default 769x769 and 520x520. With --module also whole shapes, batch first, such as 1x50x256."""
    device: Literal["meta", "cpu"] = "meta"
    """With --module only: cpu runs the network with real tensors, if it cannot run on meta. Counting gains nothing from a GPU."""
    cross_check: bool = False
    """Show what torch, fvcore, ptflops, thop and torchinfo count, and why they differ; by default at 257x257."""
    backbone: str = "resnet101"
    """Backbone of the network."""
    output_stride: int = 8
    """Input size divided by the size of the backbone's last feature map: 8, 16 or 32; of our ResNets also 4."""
    num_classes: int | None = None
    """Number of classes; by default, as in the study, 150 for an input of 520x520 and 19 otherwise."""
    in_channels: int = 3
    """Bands of the image: 3 for RGB."""
    mode: Mode = "faithful"
    """faithful: each paper's own head; controlled: the same convolutions around every mechanism."""
    convention: Literal["macs", "flops", "study", "all"] = "flops"
    """Figures in the table; the formats csv and json have all."""
    operators: bool = False
    """Show the operators of one head, module by module."""
    depth: int = 3
    """With --operators or --module: rows are grouped by this many parts of a module's path."""
    allow_module: Modules = ()
    """With --checkpoint: import this module, or the modules of this package, where a run names one of yours as its head."""
    format: Literal["table", "csv", "json", "markdown"] = "table"
    """Format of the output."""
