"""Writes tests/golden/cost.json: parameters and multiply-adds of every head's mechanism, head and network.

    python -m tests.golden.make

Run it from the repository's root when a cost is meant to change, and say in the commit what it was and is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segattn import heads
from segattn.cost import network_cost
from segattn.records import Cost

PATH = Path(__file__).with_name("cost.json")
# Mode, image size, classes: the study's crops, and Cityscapes' usual wide crop.
CASES = (
    ("faithful", (769, 769), 19),
    ("faithful", (520, 520), 150),
    ("faithful", (512, 1024), 19),
    ("controlled", (769, 769), 19),
)


def table() -> dict[str, Any]:
    """What is written: case, head, part, figure."""
    return {
        f"{mode} {size[0]}x{size[1]} {num_classes} classes": {
            name: _figures(network_cost(name, input_size=size, num_classes=num_classes, mode=mode))
            for name in heads.names()
        }
        for mode, size, num_classes in CASES
    }


def _figures(cost: Cost) -> dict[str, dict[str, int]]:
    parts = {"mechanism": cost.mechanism, "head": cost.head_total, "network": cost.network}
    return {name: {"parameters": part.parameters, "macs": part.macs} for name, part in parts.items()}


if __name__ == "__main__":
    PATH.write_text(json.dumps(table(), indent=1) + "\n")
    print(f"wrote {PATH}")
