"""Numbers that a refactor leaves alone: losses of five iterations, logits, and hashes of generated street scenes.

    python -m tests.golden.numbers          # compares to the last digit on the machine they were recorded on
    python -m tests.golden.numbers --write

`tests/golden/test_numbers.py` compares with a tolerance, since other processors sum in another order.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import segattn
from segattn import heads
from segattn.data import streets
from tests.tiny import experiment

PATH = Path(__file__).with_name("numbers.json")
MODES = ("faithful", "controlled")
SCENES = (("train", 0, 128, 256), ("train", 5, 32, 64), ("val", 1, 32, 64), ("val", 7, 64, 64), ("test", 2, 256, 512))


def losses(head: str, mode: str, **optimization: Any) -> dict[str, Any]:
    """Five iterations of the smallest experiment on one thread: the loss of each, every output's last one, the final mIoU."""
    from segattn.training.train import train

    config = experiment(head, model={"mode": mode}, optimization=optimization, validate_every=0)
    with tempfile.TemporaryDirectory() as folder:
        record = train(config, folder, device="cpu", on_notice=lambda notice: None)
    return {
        "losses": [point.loss for point in record.curve],
        "outputs": record.curve[-1].losses,
        "mean_iou": record.scores.mean_iou,
    }


def logits(head: str, mode: str) -> dict[str, float]:
    """Of a network with awake gates on a fixed image of an odd size: mean, root mean square, and one corner."""
    torch.manual_seed(0)
    model = segattn.create_model(
        head,
        num_classes=5,
        backbone="resnet18",
        mode=mode,
        backbone_options={"width": 8},
        head_options={"channels": 16},
    )
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    image = torch.randn(1, 3, 41, 57, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = model.eval()(image)
    return {"mean": float(y.mean()), "rms": float(y.square().mean().sqrt()), "corner": float(y[0, -1, -1, -1])}


def scene(split: str, index: int, height: int, width: int) -> list[str]:
    """Hashes of a scene's image and label."""
    sample = streets.load(split, height=height, width=width)[index]
    return [hashlib.sha256(array.tobytes()).hexdigest()[:16] for array in (sample.image, sample.label)]


def measure() -> dict[str, Any]:
    """Everything, as it is stored."""
    torch.set_num_threads(1)
    each = [(head, mode) for head in heads.names() for mode in MODES]
    return {
        "losses": {f"{head} {mode}": losses(head, mode) for head, mode in each},
        "accumulation 2": {head: losses(head, "faithful", accumulation=2) for head in ("ccnet", "emanet")},
        "logits": {f"{head} {mode}": logits(head, mode) for head, mode in each},
        "scenes": {" ".join(map(str, key)): scene(*key) for key in SCENES},
    }


def main() -> int:
    """Write, or compare exactly."""
    found = measure()
    if "--write" in sys.argv:
        machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
        PATH.write_text(json.dumps({"machine": machine, **found}, indent=1) + "\n")
        print(f"wrote {PATH}")
        return 0
    recorded = json.loads(PATH.read_text())
    different = [
        f"{part}: {name}"
        for part, values in found.items()
        for name, value in values.items()
        if json.loads(json.dumps(value)) != recorded[part].get(name)
    ]
    print("\n".join(different) or "the same to the last digit")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
