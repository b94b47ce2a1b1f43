"""Peak memory of labelling large photos with sliding windows and 150 classes, above the network.

    python benchmarks/prediction_memory.py --out benchmarks/results/prediction-memory.json
    python benchmarks/prediction_memory.py --resident --only 8

The network is a pooling and a 1x1 convolution, so that its own tensors hardly count; its logits have an eighth of the window's
size, as with output stride 8. Two figures, each above the network's weights:

counted     the most bytes of tensors that exist at once from the normalised photo to labels and confidence, by
            `segattn.profile.liveness`: every storage is tracked from its allocation to its release, on tensors without data, so
            that 36 megapixels take seconds
resident    with --resident: the highest resident set of `label_images`, as in `segattn predict`, minus that before the call, when
            network and decoded photo are in memory; each case in a process of its own, minutes for 36 megapixels

`limit_gb` is the aim, where there is one; a case above it ends the script with exit code 1. Nothing is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segattn import __version__
from segattn.config import Evaluation
from segattn.inference.files import label_images
from segattn.inference.windows import predict_confidence, predict_labels
from segattn.profile import in_use
from segattn.profile.environment import environment
from segattn.profile.liveness import Liveness

CLASSES = 150


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    height: int
    width: int
    crop: int
    stride: int
    flip: bool = False
    confidence: bool = False
    scales: tuple[float, ...] = (1.0,)
    limit_gb: float | None = None

    @property
    def megapixels(self) -> float:
        return self.height * self.width / 1e6

    @property
    def inference(self) -> Evaluation:
        sides = {"crop_size": (self.crop, self.crop), "stride": (self.stride, self.stride)}
        return Evaluation(mode="slide", flip=self.flip, scales=self.scales, **sides)  # type: ignore[arg-type]

    def __str__(self) -> str:
        extras = " ".join(name for name in ("flip", "confidence") if getattr(self, name))
        return f"{self.width}x{self.height}, window {self.crop}, stride {self.stride}, scales {self.scales} {extras}"


CASES = (
    Case(2448, 3264, 512, 341),
    Case(2448, 3264, 512, 341, confidence=True),
    Case(2448, 3264, 512, 341, flip=True, confidence=True),
    Case(4912, 7360, 512, 341, flip=True, confidence=True, limit_gb=2.5),
    Case(4912, 7360, 769, 513, flip=True, confidence=True, limit_gb=4.0),
    Case(4912, 7360, 512, 341, flip=True, confidence=True, scales=(0.75, 1.25)),
)


class Tiny(nn.Module):
    """Logits on an eighth of the grid from the mean colour of each cell."""

    align_corners = False

    def __init__(self) -> None:
        super().__init__()
        self.classify = nn.Conv2d(3, CLASSES, 1)

    def logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classify(F.avg_pool2d(images, 8, ceil_mode=True))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(self.logits(images), images.shape[-2:], mode="bilinear")


def counted(case: Case) -> int:
    """The most bytes of tensors at once, weights excepted."""
    watch = Liveness("cpu")
    with torch.device("meta"):
        model = Tiny().eval()
    watch.adopt(model, "weights")
    weights = watch.live
    photo = watch.tensor(1, 3, case.height, case.width)
    with watch:
        (predict_confidence if case.confidence else predict_labels)(model, photo, inference=case.inference)
    return watch.peak().total - weights


def resident(case: Case) -> dict[str, Any]:
    """Baseline and peak of this process."""
    torch.manual_seed(0)
    model = Tiny().eval()
    photo = np.random.default_rng(0).integers(0, 256, (case.height, case.width, 3), dtype=np.uint8)
    label_images(model, [photo[:64, :64]], case.inference, confidence=case.confidence)  # initialises the libraries
    return in_use.measure_peak(lambda: label_images(model, [photo], case.inference, confidence=case.confidence), "cpu")


def in_own_process(index: int) -> dict[str, Any]:
    """`resident` where freed memory returns to the system at once, so that the resident set is what is in use."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--case", str(index)]
    measured = json.loads(subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE).stdout)
    above = (measured["peak_bytes"] - measured["baseline_bytes"]) / 1e9
    return {"resident_gb": round(above, 3), **measured}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--resident", action="store_true", help="also run each case with data and measure the process")
    parser.add_argument("--only", type=float, help="only photos of up to so many megapixels")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case is not None:
        print(json.dumps(resident(CASES[chosen.case])))
        return 0
    rows, missed = [], 0
    for index, case in enumerate(CASES):
        if chosen.only is not None and case.megapixels > chosen.only:
            continue
        row = {**asdict(case), "classes": CLASSES, "counted_gb": round(counted(case) / 1e9, 3)}
        if chosen.resident:
            row |= in_own_process(index)
        highest = max(row["counted_gb"], row.get("resident_gb", 0.0))
        missed += case.limit_gb is not None and highest > case.limit_gb
        rows.append(row)
        print(f"{highest:6.2f} GB  {case}" + (f" (limit {case.limit_gb} GB)" if case.limit_gb else ""), flush=True)
        if chosen.out is not None:  # after each case, because those with data take minutes
            machine = environment(__version__, device=torch.device("cpu"), path=Path(__file__).parent)
            record = {"environment": machine, "created": datetime.now(UTC).isoformat(timespec="seconds"), "cases": rows}
            chosen.out.write_text(json.dumps(record, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
