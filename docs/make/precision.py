"""What half precision and 8 bits cost in accuracy: networks of `segattn zoo` scored in each, for docs/export.md.

    python -m docs.make.precision [NETWORK ...] [--missing]

scores networks, by default the controlled ones of the trunk `streets`, and writes precision.json beside this file after each.
Networks that are not named keep their rows; `--missing` scores those without a row only.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from segattn import __version__, checkpoint, data, zoo
from segattn.evaluation.evaluate import evaluate
from segattn.inference.export import load_exported
from segattn.inference.export.write import export
from segattn.inference.optimized import optimize
from segattn.profile.environment import environment
from segattn.profile.markdown import markdown_table

RECORD = Path(__file__).with_name("precision.json")
TRUNK, SIZE, SCENES, CALIBRATION = "streets", (256, 512), 100, 16


def section() -> str:
    """The table, with its command and machine."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    rows = []
    for row in record["rows"]:
        half, eighth = (100 * (row[name] - row["fp32"]) for name in ("bf16", "int8"))
        rows.append(
            [row["network"].removeprefix(f"{TRUNK}/"), f"{100 * row['fp32']:.2f}", f"{half:+.2f}", f"{eighth:+.2f}"]
        )
    heading = ["network", "fp32 mIoU %", "bf16, points", "int8, points"]
    where = record["environment"]
    dates = sorted({row["date"] for row in record["rows"]})
    made = f"`python -m docs.make.precision`, {where['processor']}, torch {where['torch']}, {' and '.join(dates)}."
    return f"{markdown_table(heading, rows)}\n\n{made}"


def measure(networks: Sequence[str], *, missing: bool = False) -> None:
    """Score each network in fp32, bf16 and int8, and write the record after each."""
    old = json.loads(RECORD.read_text(encoding="utf-8"))["rows"] if RECORD.exists() else []
    rows = {row["network"]: row for row in old}
    scenes = data.load("streets", "val", num_images=SCENES, height=SIZE[0], width=SIZE[1])
    others = data.load("streets", "train", num_images=CALIBRATION, height=SIZE[0], width=SIZE[1])
    calibration = [others[index].image for index in range(CALIBRATION)]
    for name in networks:
        if missing and name in rows:
            continue
        model = checkpoint.load_model(name).eval()
        row: dict[str, Any] = {"network": name, "date": datetime.date.today().isoformat()}
        row["fp32"] = evaluate(model, scenes).scores.mean_iou
        row["bf16"] = evaluate(optimize(model, dtype=torch.bfloat16), scenes).scores.mean_iou
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "net.onnx")
            export(model, path, precision="int8", calibration=calibration)
            row["int8"] = evaluate(load_exported(path), scenes).scores.mean_iou
        rows[name] = row
        record = {
            "environment": environment(__version__, path=Path(__file__).parent),
            "rows": [rows[key] for key in sorted(rows)],
        }
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    controlled = [entry.name for entry in zoo.networks(TRUNK) if not entry.name.endswith("-faithful")]
    parser.add_argument("networks", nargs="*", default=controlled)
    parser.add_argument("--missing", action="store_true", help="only what has no row yet")
    chosen = parser.parse_args()
    measure(chosen.networks, missing=chosen.missing)


if __name__ == "__main__":
    main()
