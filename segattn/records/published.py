"""Figures that others have published for the same heads: references beside ours, never among them.

`published.csv` holds the rows of two model zoos for the heads that are here, single-scale and multi-scale mIoU on the
validation split in per cent, crop as height x width: mmsegmentation (configs/*/README.md) and PaddleSeg (configs/*/README.md).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

SOURCES = {
    "mmsegmentation": "https://github.com/open-mmlab/mmsegmentation/tree/main/configs",
    "PaddleSeg": "https://github.com/PaddlePaddle/PaddleSeg/tree/develop/configs",
}


@dataclass(frozen=True)
class Published:
    """One row of a model zoo."""

    head: str
    backbone: str
    """As its source writes it: R-101-D8 and ResNet101_OS8 are ResNet-101 at output stride 8."""
    crop: str
    iterations: int
    mean_iou: float
    """In [0, 1], at one scale."""
    mean_iou_multi_scale: float | None
    """Several scales and mirrored."""
    source: str
    name: str
    """The source's configuration."""

    @property
    def address(self) -> str:
        return SOURCES[self.source]


def on(dataset: str) -> list[Published]:
    """All published rows for a data set; none where there are none."""
    return [_row(line) for line in _lines() if line["dataset"] == dataset.lower()]


def datasets() -> list[str]:
    """The data sets that there are published rows for."""
    return sorted({line["dataset"] for line in _lines()})


def _lines() -> list[dict[str, str]]:
    with (Path(__file__).parent / "published.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _row(line: dict[str, str]) -> Published:
    several = line["mean_iou_multi_scale"]
    return Published(
        head=line["head"],
        backbone=line["backbone"],
        crop=line["crop"].replace("x", "×"),
        iterations=int(line["iterations"]),
        mean_iou=float(line["mean_iou"]) / 100,
        mean_iou_multi_scale=float(several) / 100 if several else None,
        source=line["source"],
        name=line["name"],
    )
