"""Devices, precisions and autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str) -> torch.device:
    """The torch device for auto, cpu or cuda; auto is the GPU if there is one.

    Raises:
        ValueError: unknown device, or cuda where torch sees no GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {device!r} is not known; use auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch sees no GPU; use --device cpu")
    return torch.device("cpu" if device == "cpu" or not torch.cuda.is_available() else "cuda")


def resolve_precision(precision: str, device: torch.device) -> str:
    """`fp32`, `bf16` or `fp16`; auto is bf16 where it is faster: on GPUs that support it and on CPUs with AMX."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():
        return "bf16"
    return "fp32"


def autocast(dtype: str, device: torch.device | str) -> AbstractContextManager[object]:
    """Autocast as in training and evaluation: bf16 or fp16 arithmetic, weights in fp32."""
    if DTYPES[dtype] == torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=DTYPES[dtype])


def set_tf32(allowed: bool) -> None:
    """Set whether float32 matrix products and convolutions on CUDA may round their operands to 10 bits of mantissa."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
