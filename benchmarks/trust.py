"""What trust costs: the check that weights are finite, and the fingerprint of a large data set.

    python -m benchmarks.trust -o benchmarks/results/trust.json

finite       the check that runs at every checkpoint, over everything that a checkpoint holds of a network and its optimiser,
             against a training step of the same network; its share is of all steps between two checkpoints
fingerprint  opening a folder of 20,000 photos and masks and taking its fingerprint, as every run does before its first step;
             the files have just been written, so that they are in the system's cache
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from segattn import checkpoint
from segattn.config import Data, Experiment, Model
from segattn.data.splits import open_data
from segattn.model import build_model
from segattn.training import fingerprint
from segattn.training.results import environment_of

NETWORKS = (("resnet18", 129), ("resnet101", 257))
FILES = 20_000


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call, in seconds; the first call does not count."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def finite(backbone: str, size: int) -> dict[str, Any]:
    """Time of the check and of a step of CCNet on this backbone, one image of size x size."""
    network = build_model(Model(head="ccnet", backbone=backbone), 19).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    image, target = torch.randn(2, 3, size, size), torch.randint(0, 19, (2, size, size))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(image)["out"], target).backward()
        optimizer.step()

    step_seconds = median_seconds(step, 3)
    state = {
        **network.state_dict(),
        **{f"momentum.{n}": s["momentum_buffer"] for n, s in enumerate(optimizer.state.values())},
    }
    check_seconds = median_seconds(lambda: checkpoint.not_finite(state), 20)
    interval = Experiment.checkpoint_every
    return {
        "backbone": backbone,
        "crop": size,
        "batch": 2,
        "values": sum(value.numel() for value in state.values()),
        "check_seconds": check_seconds,
        "step_seconds": step_seconds,
        "checkpoint_every": interval,
        "share_of_training": check_seconds / (interval * step_seconds),
        "share_of_one_step": check_seconds / step_seconds,
    }


def folder_of(files: int, root: Path) -> None:
    """Photos and masks of a folder data set; every file differs."""
    generator = np.random.default_rng(0)
    (root / "classes.txt").write_text("wall\nfloor\nsky\n")
    for split, count in (("train", files - 2000), ("val", 2000)):
        for part in ("images", "masks"):
            (root / part / split).mkdir(parents=True)
        for index in range(count):
            photo = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            mask = generator.integers(0, 3, (32, 32), dtype=np.uint8)
            for part, pixels, name in (("images", photo, f"{index:05d}.jpg"), ("masks", mask, f"{index:05d}.png")):
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, format="JPEG" if part == "images" else "PNG")
                (root / part / split / name).write_bytes(buffer.getvalue())


def fingerprint_of(files: int) -> dict[str, Any]:
    """Time of opening the data set and of its fingerprint."""
    with tempfile.TemporaryDirectory() as folder:
        folder_of(files, Path(folder))
        began = time.perf_counter()
        opened = open_data(Data(name="folder", root=folder))
        open_seconds = time.perf_counter() - began
        began = time.perf_counter()
        taken = fingerprint.of_splits(*opened)
        seconds = time.perf_counter() - began
    return {
        "samples": files,
        "open_seconds": open_seconds,
        "fingerprint_seconds": seconds,
        "samples_whose_contents_are_in_it": sum(len(split["contents"]) for split in taken.values()),
    }


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/trust.json"))
    parser.add_argument("--files", type=int, default=FILES)
    chosen = parser.parse_args()
    record = {
        "environment": dataclasses.asdict(environment_of(torch.device("cpu"), "fp32")),
        "finite": [finite(*network) for network in NETWORKS],
        "fingerprint": fingerprint_of(chosen.files),
    }
    chosen.output.write_text(json.dumps(record, indent=1, default=str) + "\n")
    print(json.dumps(record, indent=1, default=str))


if __name__ == "__main__":
    main()
