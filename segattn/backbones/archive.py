"""Files that `torch.save` wrote: their tensors and plain values, and whether they are those that were written."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from segattn.backbones import placeholders


def read(path: str | os.PathLike[str]) -> Any:
    """The contents of a `.pth` file, on the CPU; runs no code. The CRC of every part of an archive is tested first.

    Objects of other classes are placeholders that do nothing (`placeholders`). A file in the format from before torch 1.6 is no
    archive; it has no CRCs, and may hold no such objects.

    Raises:
        ValueError: a part of the archive was changed.
        pickle.UnpicklingError: it names what could run a program, or is no such file; the message has no control characters.
        Exception: whatever else `torch.load` raises for a file that it cannot read.
    """
    is_archive = zipfile.is_zipfile(path)
    if is_archive:
        _test(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's first lines advise to run the code
        reason = str(error).partition("WeightsUnpickler error:")[2].strip() or str(error)
    try:
        if is_archive:
            return placeholders.read(path)
    except Exception as error:  # of a damaged pickle
        reason = str(error) or type(error).__name__
    raise pickle.UnpicklingError(_plain(reason.splitlines()[0]) if reason else "no pickle")


def _plain(text: str) -> str:
    """The text without a terminal's control sequences; other control characters are shown as escapes."""
    text = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", text)
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _test(path: str | os.PathLike[str]) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > os.path.getsize(path):
                raise ValueError("its parts are larger than the file")
            damaged = archive.testzip()
    except Exception as error:  # zipfile raises errors of many types on a damaged archive
        raise ValueError(f"the archive is damaged ({str(error) or type(error).__name__})") from None
    if damaged is not None:
        raise ValueError(f"the archive is damaged (the CRC of {damaged!r} is another)")


def fault_of(state: Mapping[str, Any], expected: Mapping[str, Tensor] | None = None) -> str:
    """The first tensor that is no weight, in words: not dense, on the meta device, not finite, or of another kind than expected.

    >>> fault_of({"a": torch.tensor([1.0, float("nan")])})
    'a is not finite'
    >>> fault_of({"a": torch.zeros(3)}, {"a": torch.zeros(3)})
    ''
    """
    for name, value in state.items():
        if not isinstance(value, Tensor):
            continue
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            return f"{name} is not a dense tensor of real numbers"
        if value.is_meta:
            return f"{name} is on the meta device: it has a shape and no numbers"
        if expected is not None and name in expected and not _same_kind(value, expected[name]):
            kind = "floating-point" if expected[name].is_floating_point() else "whole"
            return f"{name} is {str(value.dtype).removeprefix('torch.')}, not of {kind} numbers"
        if value.is_floating_point() and not bool(value.isfinite().all()):
            return f"{name} is not finite"
    return ""


def _same_kind(value: Tensor, other: Tensor) -> bool:
    return value.is_floating_point() == other.is_floating_point() and (value.dtype == torch.bool) == (
        other.dtype == torch.bool
    )
