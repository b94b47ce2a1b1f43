"""Adaptive pooling in the form that graphs record, against torch's."""

import pytest
import torch
from torch.nn import functional as F

from segattn.heads.parts import pooling


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (2, 5), (6, 3)])
@pytest.mark.parametrize("shape", [(2, 3, 13, 11), (1, 2, 3, 17), (1, 1, 1, 1)])
def test_two_products_are_adaptive_pooling(size, shape, monkeypatch):
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    computed = pooling.adaptive_means(x, size)
    monkeypatch.setattr(pooling, "recording", lambda: True)
    torch.testing.assert_close(pooling.adaptive_means(x, size), F.adaptive_avg_pool2d(x, size), rtol=0, atol=1e-14)
    assert torch.equal(computed, F.adaptive_avg_pool2d(x, size))


def test_means_of_half_precision_are_summed_in_float32(monkeypatch):
    x = torch.full((1, 1, 64, 64), 100.0, dtype=torch.float16)  # their sum is beyond float16's 65504
    monkeypatch.setattr(pooling, "recording", lambda: True)
    assert pooling.adaptive_means(x, (1, 1)).item() == 100.0


def test_weights_of_bins_sum_to_1():
    weights = pooling.averages(6, 13, torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(6, dtype=torch.float64))
