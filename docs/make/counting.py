"""Ledgers for the pages: a head on feature maps of `meta`, at the grids that the literature uses."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from segattn import backbones, heads
from segattn.profile.flops import Ledger, Totals, count

GRIDS = {97: (769, 19), 96: (768, 19), 65: (520, 150), 64: (512, 150)}
"""Feature map at output stride 8 -> image, and the classes of the data set that is cropped so."""
RESNET = (256, 512, 1024, 2048)


@cache
def head_ledger(name: str, at: int, **options: Any) -> Ledger:
    """A head on the maps of ResNet-50 or 101, stage 4 `at` x `at`, in the form that its equation is written in."""
    size, num_classes = GRIDS[at]
    with torch.device("meta"):
        head = heads.create(name, RESNET, num_classes, **options).eval()
        features = [torch.empty(1, c, n, n) for c, n in zip(RESNET, (-(-size // 4), at, at, at), strict=True)]
    for module in head.modules():
        if hasattr(module, "implementation"):
            module.implementation = heads.declared(module, "counted_as")
    return count(head, features)


@cache
def backbone_totals(name: str, size: int, **options: Any) -> Totals:
    """A backbone for one image."""
    with torch.device("meta"):
        return count(backbones.create(name, **options).eval(), torch.empty(1, 3, size, size)).total()


def mechanism_path(name: str, ledger: Ledger) -> str:
    """Where the head keeps its mechanism."""
    return "attention" if "attention" in ledger.modules else "context.attention"


def giga(value: float, digits: int = 3) -> str:
    return f"{value / 1e9:.{digits}f}"
