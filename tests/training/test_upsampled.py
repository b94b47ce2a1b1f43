"""Cross-entropy of logits that are upsampled for it: the value and gradient of the upsampled map, without the map."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from segattn.training import upsampled
from segattn.training.formula import parse
from segattn.training.losses import Ohem, segmentation_loss

SIZES = [((4, 6), (32, 48)), ((5, 3), (33, 17)), ((1, 1), (7, 5)), ((9, 9), (4, 5)), ((1, 7), (1, 50))]


def batch(small, large, K=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(3, K, *small, generator=generator, dtype=dtype)
    label = torch.randint(0, K, (3, *large), generator=generator)
    label[torch.rand(3, *large, generator=generator) < 0.2] = 255
    return logits.requires_grad_(), label, torch.rand(K, generator=generator, dtype=dtype) + 0.5


def by_the_map(logits, label, class_weights, align_corners, **settings):
    full = F.interpolate(logits, size=label.shape[1:], mode="bilinear", align_corners=align_corners)
    return F.cross_entropy(full, label, class_weights, ignore_index=255, reduction="sum", **settings)


@pytest.mark.parametrize("band_bytes", [1, 3_000, 10**9])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_it_is_the_loss_of_the_upsampled_map(sizes, band_bytes, monkeypatch):
    monkeypatch.setattr(upsampled, "BAND_BYTES", band_bytes)
    logits, label, class_weights = batch(*sizes)
    for weights, align_corners in itertools.product((None, class_weights), (False, True)):
        loss = upsampled.cross_entropy(logits, label, weights, align_corners=align_corners)
        expected = by_the_map(logits, label, weights, align_corners)
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
        gradients = [torch.autograd.grad(2 * value, logits)[0] for value in (loss, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_large_logits_and_channels_last_in_float32():
    logits, label, _ = batch((16, 32), (128, 256), K=19, dtype=torch.float32)
    large = (200 * logits.detach()).to(memory_format=torch.channels_last).requires_grad_()
    loss = upsampled.cross_entropy(large, label, align_corners=False)
    exact = by_the_map(large.detach().double(), label, None, False)
    assert loss.isfinite()
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(loss, large)
    (expected,) = torch.autograd.grad(by_the_map(large, label, None, False), large)
    torch.testing.assert_close(gradient, expected, atol=1e-3, rtol=1e-4)


def test_nothing_counted_gives_zero_loss_and_zero_gradient():
    logits, label, _ = batch((2, 2), (8, 8))
    loss, _ = segmentation_loss({"out": logits}, torch.full_like(label, 255), {"out": 1.0}, align_corners=False)
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"label_smoothing": 0.1},
        {"ohem": Ohem(0.7, 20)},
        {"terms": parse("ce + 0.5 dice")},
        {"terms": parse("boundary")},
    ],
    ids=str,
)
def test_every_loss_takes_smaller_logits(settings, align_corners):
    logits, label, class_weights = batch((4, 6), (32, 48), dtype=torch.float32)
    full = F.interpolate(logits, size=label.shape[1:], mode="bilinear", align_corners=align_corners)
    weights = {"out": 1.0, "aux": 0.4}
    given = {"class_weights": class_weights, **settings}
    expected, each = segmentation_loss({"out": full, "aux": 2 * full}, label, weights, **given)
    loss, parts = segmentation_loss(
        {"out": logits, "aux": 2 * logits}, label, weights, align_corners=align_corners, **given
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(parts, each)
    torch.testing.assert_close(
        *(torch.autograd.grad(value, logits)[0] for value in (loss, expected)), atol=1e-6, rtol=1e-4
    )


def test_without_align_corners_another_size_is_refused():
    logits, label, _ = batch((4, 6), (32, 48))
    with pytest.raises(ValueError, match="logits are \\(B, K, H, W\\) at the label's size"):
        segmentation_loss({"out": logits}, label, {"out": 1.0})
