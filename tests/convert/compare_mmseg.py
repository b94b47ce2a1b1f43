"""Measure how far our heads are from mmsegmentation's with the same weights, and write the table of docs/verification.md.

    python tests/convert/compare_mmseg.py VENV/bin/python [--write docs/verification.md]

VENV is an environment of its own with mmsegmentation:
`pip install -c constraints.txt torch onedl-mmsegmentation onedl-mmcv`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from segattn.convert.mmseg import Converted, from_mmseg, to_mmseg

REFERENCE = Path(__file__).with_name("mmseg_reference.py")
# Head -> mmsegmentation's own configuration of it.
BASES = {
    "fcn": "fcn_r50-d8",
    "non_local": "nonlocal_r50-d8",
    "danet": "danet_r50-d8",
    "dnlnet": "dnl_r50-d8",
    "emanet": "emanet_r50-d8",
    "isanet": "isanet_r50-d8",
    "ccnet": "ccnet_r50-d8",
}
# Name -> what differs from the configuration; 97 x 129 pixels make a map of 13 x 17.
CASES: dict[str, dict[str, Any]] = {
    **{head: {"name": base, "size": [97, 129]} for head, base in BASES.items()},
    "non_local, align_corners": {"name": BASES["non_local"], "size": [97, 129], "heads": {"align_corners": True}},
    "fcn, plain stem": {"name": BASES["fcn"], "size": [97, 129], "backbone": {"type": "ResNet"}},
    "ccnet, ResNet-101": {"name": BASES["ccnet"], "size": [97, 129], "backbone": {"depth": 101}},
    "danet, no contraction": {"name": BASES["danet"], "size": [97, 129], "backbone": {"contract_dilation": False}},
}


def reference(case: dict[str, Any], python: str) -> dict[str, Any]:
    """What mmsegmentation's segmentor of a case computes."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "case.json"), Path(folder, "made.pth")
        given.write_text(json.dumps({"seed": 0, **case}))
        done = subprocess.run([python, REFERENCE, given, made], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mmsegmentation failed on {case}:\n{done.stderr[-2000:]}")
        return torch.load(made, weights_only=True)


def ours(converted: Converted, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What our network computes: in eval mode every output on the map, the upsampled one, and those of training."""
    network = converted.network
    model = Converted(converted.state, network, converted.num_classes).build()
    with torch.no_grad():
        features = model.backbone(image)
        model.head.training = True  # this module alone: all outputs, with the norms and dropout of inference
        found = {f"logits {name}": value for name, value in model.head(features).items()}
        model.head.training = False
        found["logits aux"] = model.auxiliary(features[2])
        found["upsampled"] = model(image)
        model.train()
        model.auxiliary.classify.dropout.p = 0.0  # as in the reference; the head's is an option
        features = model.backbone(image)
        found |= {f"training {name}": value for name, value in model.head(features).items()}
        found["training aux"] = model.auxiliary(features[2])
    after = to_mmseg(model.state_dict(), network.head)
    return found | {f"after {key}": value for key, value in after.items()}


def differences(made: dict[str, Any]) -> dict[str, float]:
    """Largest absolute differences: logits of all outputs in inference, upsampled, in training, and all tensors after that."""
    converted = from_mmseg(made["state_dict"], config=made["meta"]["cfg"])
    assert not converted.assumed
    found = ours(converted, made["image"])
    theirs = {
        **{f"logits {name}": value for name, value in made["logits"].items()},
        "upsampled": made["upsampled"],
        **{f"training {name}": value for name, value in made["training"].items()},
        **{f"after {name}": value for name, value in made["state_after"].items()},
    }
    assert found.keys() == theirs.keys()
    largest = dict.fromkeys(("logits", "upsampled", "training", "after"), 0.0)
    for name, value in found.items():
        kind = name.split()[0]
        largest[kind] = max(largest[kind], (value.double() - theirs[name].double()).abs().max().item())
    return largest | {"scale": made["logits"]["out"].std().item()}


def table(python: str) -> str:
    """The section of docs/verification.md."""
    rows, versions = [], {}
    for name, case in CASES.items():
        made = reference(case, python)
        found = differences(made)
        versions = made["versions"]
        print(name, found, file=sys.stderr)
        cells = " | ".join(f"{found[kind]:.1e}" for kind in ("logits", "upsampled", "training", "after"))
        rows.append(f"| {name} | {cells} | {found['scale']:.2f} |")
    packages = ", ".join(f"{package} {version}" for package, version in versions.items())
    return "\n".join(
        [
            "Network | logits | logits, upsampled | logits in training | buffers after it | deviation of logits",
            "---|---|---|---|---|---",
            *(row.strip("| ") for row in rows),
            "",
            f"Measured on {datetime.date.today()}, {processor()}, {packages}, float32, by",
            "`python tests/convert/compare_mmseg.py VENV/bin/python --write docs/verification.md`.",
        ]
    )


def processor() -> str:
    """Name of the processor."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    made = table(arguments.python)
    print(made)
    if arguments.write is not None:
        begin, end = "<!-- mmsegmentation: begin -->", "<!-- mmsegmentation: end -->"
        text = arguments.write.read_text()
        before, after = text.split(begin)[0], text.split(end)[1]
        arguments.write.write_text(f"{before}{begin}\n\n{made}\n\n{end}{after}")


if __name__ == "__main__":
    main()
