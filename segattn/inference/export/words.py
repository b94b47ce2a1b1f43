"""What was written, in words: for the command and the documentation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from segattn.inference.export.facts import Facts
from segattn.inference.export.write import Agreement, Exported


def runtime_name(suffix: str) -> str:
    """The runtime of a format, with its version."""
    if suffix == ".pt2":
        return f"torch {torch.__version__}"
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


def agreement_lines(agreements: Sequence[Agreement]) -> list[str]:
    """One line for each batch and size.

    >>> agreement_lines([Agreement(3, 145, 89, 0.0000034, 1.0)])
    ['  3 x 145x89   largest difference 3.4e-06   equal labels 100.00 %']
    """
    sizes = [f"{each.batch} x {each.height}x{each.width}" for each in agreements]
    width = max(map(len, sizes))
    return [
        f"  {size:{width}}   largest difference {each.difference:.1e}   equal labels {100 * each.equal:.2f} %"
        for size, each in zip(sizes, agreements, strict=True)
    ]


def file_lines(written: Exported) -> list[str]:
    """The file's size, and the input and output of its graph."""
    facts = written.facts
    return [
        f"{written.path}: {written.size_bytes / 1e6:.1f} MB, {facts.precision}",
        f"  input   {facts.input_text}, {_input(facts)}",
        f"  output  {facts.output_text}, {'class indices' if facts.labels else 'logits'}",
    ]


def _input(facts: Facts) -> str:
    if facts.preprocessing:
        return "RGB" if facts.in_channels == 3 else "bands"
    return f"normalised {facts.channel_order.upper() if facts.in_channels == 3 else 'bands'}"
