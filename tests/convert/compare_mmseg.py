"""Measure how far our heads are from mmsegmentation's with the same weights, and write the table of docs/verification.md.

    python -m tests.convert.compare_mmseg VENV/bin/python [--write docs/verification.md]

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
from segattn.model import SegmentationModel

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
    "psp": "pspnet_r50-d8",
    "aspp": "deeplabv3_r50-d8",
    "ocr": "ocrnet_r50-d8",
}
# Name -> what differs from the configuration; 97 x 129 pixels make a map of 13 x 17, 257 x 321 one of 33 x 41.
CASES: dict[str, dict[str, Any]] = {
    **{head: {"name": base, "size": [97, 129]} for head, base in BASES.items()},
    **{f"{head}, 257 x 321": {"name": BASES[head], "size": [257, 321]} for head in ("danet", "emanet", "isanet")},
    "non_local, align_corners": {"name": BASES["non_local"], "size": [97, 129], "heads": {"align_corners": True}},
    "ocr, 257 x 321": {"name": BASES["ocr"], "size": [257, 321]},
    "psp, align_corners": {"name": BASES["psp"], "size": [97, 129], "heads": {"align_corners": True}},
    "aspp, dilations 1, 6, 12, 18": {"name": BASES["aspp"], "size": [97, 129], "own": {"dilations": [1, 6, 12, 18]}},
    "fcn, plain stem": {"name": BASES["fcn"], "size": [97, 129], "backbone": {"type": "ResNet"}},
    "ccnet, ResNet-101": {"name": BASES["ccnet"], "size": [97, 129], "backbone": {"depth": 101}},
    "danet, no contraction": {"name": BASES["danet"], "size": [97, 129], "backbone": {"contract_dilation": False}},
}


KINDS = ("logits", "upsampled", "training", "after", "exact", "rounding")


def reference(case: dict[str, Any], python: str) -> dict[str, Any]:
    """What mmsegmentation's segmentor of a case computes."""
    with tempfile.TemporaryDirectory() as folder:
        case_file, outputs_file = Path(folder, "case.json"), Path(folder, "outputs.pth")
        case_file.write_text(json.dumps({"seed": 0, **case}))
        done = subprocess.run([python, REFERENCE, case_file, outputs_file], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mmsegmentation failed on {case}:\n{done.stderr[-2000:]}")
        return torch.load(outputs_file, weights_only=True)


def ours(converted: Converted, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What our network computes: in inference every output on the map and the upsampled one, in training, and in float64."""
    model = converted.build()
    with torch.no_grad():
        tensors = {f"logits {name}": value for name, value in outputs(model, image).items()}
        tensors["upsampled"] = model(image)
        model.train()
        if model.auxiliary is not None:
            model.auxiliary.classify.dropout.p = 0.0  # as in the reference; the head's is an option
        tensors |= {f"training {name}": value for name, value in outputs(model, image).items()}
        model.after_step()  # mmsegmentation's EMANet moves its bases in the forward pass
        after = to_mmseg(model.state_dict(), converted.network.head)
        tensors |= {f"after {key}": value.clone() for key, value in after.items()}
        model.load_state_dict(converted.state)
        model.double().eval()
        tensors |= {f"exact {name}": value for name, value in outputs(model, image.double()).items()}
    return tensors


def outputs(model: SegmentationModel, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """All outputs on the feature map."""
    features = model.backbone(image)
    training = model.head.training
    model.head.training = True  # this module alone, so that it gives all outputs in inference, too
    logits = dict(model.head(features))
    if model.auxiliary is not None:
        logits["aux"] = model.auxiliary(features[2])
    model.head.training = training
    return logits


def differences(computed: dict[str, Any]) -> dict[str, float]:
    """Largest absolute differences.

    logits, upsampled, training: of all outputs; after: of all tensors after a pass in training mode; exact: of the logits in
    float64; rounding: of mmsegmentation's own logits in float32 from those in float64; scale: deviation of the logits.
    """
    converted = from_mmseg(computed["state_dict"], config=computed["meta"]["cfg"])
    assert not converted.assumed
    own = ours(converted, computed["image"])
    expected = {
        f"{kind} {name}": value
        for kind, values in (
            ("logits", computed["logits"]),
            ("training", computed["training"]),
            ("after", computed["state_after"]),
            ("exact", computed["exact"]),
        )
        for name, value in values.items()
    } | {"upsampled": computed["upsampled"]}
    assert own.keys() == expected.keys()
    largest = dict.fromkeys(KINDS, 0.0)
    for name, value in own.items():
        kind = name.split()[0]
        largest[kind] = max(largest[kind], apart(value, expected[name]))
    largest["rounding"] = max(apart(value, computed["exact"][name]) for name, value in computed["logits"].items())
    return largest | {"scale": computed["logits"]["out"].std().item()}


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest absolute difference."""
    return (one.double() - other.double()).abs().max().item()


def table(python: str) -> str:
    """The section of docs/verification.md."""
    rows, versions = [], {}
    for name, case in CASES.items():
        computed = reference(case, python)
        largest = differences(computed)
        versions = computed["versions"]
        print(name, largest, file=sys.stderr)
        cells = " | ".join(f"{largest[kind]:.1e}" for kind in KINDS)
        rows.append(f"| {name} | {cells} | {largest['scale']:.2f} |")
    packages = ", ".join(f"{package} {version}" for package, version in versions.items())
    return "\n".join(
        [
            "| network | logits | upsampled | in training | tensors after it | logits in float64 | own rounding | deviation |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Measured on {datetime.date.today()}, {processor()}, {packages}, float32, by",
            "`python -m tests.convert.compare_mmseg VENV/bin/python --write docs/verification.md`.",
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
    rows = table(arguments.python)
    print(rows)
    if arguments.write is not None:
        begin, end = "<!-- mmsegmentation: begin -->", "<!-- mmsegmentation: end -->"
        text = arguments.write.read_text()
        before, after = text.split(begin)[0], text.split(end)[1]
        arguments.write.write_text(f"{before}{begin}\n\n{rows}\n\n{end}{after}")


if __name__ == "__main__":
    main()
