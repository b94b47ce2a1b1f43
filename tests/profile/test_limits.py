"""Limits are of what they say."""

from __future__ import annotations

import pytest
import torch

from segattn.profile import limits


@pytest.mark.parametrize(("dtype", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_product_is_of_that_size_and_dtype(dtype, expected):
    out = limits.product(37, dtype, "cpu").run()
    assert (out.shape, out.dtype) == ((37, 37), expected)


def test_copy_is_of_so_many_bytes():
    out = limits.copy(2**12, "cpu").run()
    assert out.numel() * out.element_size() == 2**12


def test_copy_takes_a_sixteenth_of_what_is_available_at_most(monkeypatch):
    monkeypatch.setattr(limits, "available", lambda device: 16 * 10 * 2**20)
    assert limits.copy_size("cpu") == 8 * 2**20  # whole steps of 4 MiB
    monkeypatch.setattr(limits, "available", lambda device: 10**12)
    assert limits.copy_size("cpu") == 2**29
