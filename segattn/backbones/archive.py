"""Files that `torch.save` wrote: tensors and plain values only, and those that were written."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def read(path: str | os.PathLike[str]) -> Any:
    """The contents of a `.pth` file, on the CPU; runs no code. The CRC of every part of an archive is tested first.

    A file in the format from before torch 1.6 is no archive and has no CRCs.

    Raises:
        ValueError: a part of the archive was changed.
        pickle.UnpicklingError: it needs code, or is no such file.
        Exception: whatever else `torch.load` raises for a file that it cannot read.
    """
    if zipfile.is_zipfile(path):
        _test(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's first lines advise to run the code
        reason = str(error).partition("WeightsUnpickler error:")[2].strip() or str(error)
        raise pickle.UnpicklingError(reason.splitlines()[0] if reason else "no pickle") from None


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
