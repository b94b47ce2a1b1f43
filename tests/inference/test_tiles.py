"""Tiles give what one map of the whole image gave: sums of windows to the last bit, all else up to rounding."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segattn.config import Evaluation
from segattn.inference import tiles
from segattn.inference.tiles import Tile, resize, resized_part, window_starts
from segattn.inference.windows import predict, predict_confidence, predict_labels

K = 5
SLIDE = Evaluation(mode="slide", crop_size=(17, 19), stride=(11, 7))
SIZES = [(43, 51), (17, 19), (31, 9), (1, 1)]


class Fine(nn.Module):
    """Logits on a quarter of the grid that depend on the place in the window, upsampled to the input's size."""

    num_classes = K

    def __init__(self, align_corners=False, layout=torch.contiguous_format):
        super().__init__()
        weight = torch.randn(K, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight.to(memory_format=layout))
        self.align_corners, self.layout = align_corners, layout
        self.eval()

    def coarse(self, images):
        logits = F.conv2d(images.contiguous(memory_format=self.layout), self.weight, stride=4, padding=3)
        h, w = logits.shape[-2:]
        place = (torch.arange(h)[:, None] / 3 + torch.arange(w) ** 2 / 30).sin()
        return logits + place * torch.arange(K)[:, None, None]

    def forward(self, images):
        return F.interpolate(self.coarse(images), images.shape[-2:], mode="bilinear", align_corners=self.align_corners)


class Coarse(Fine):
    """The same function, which also gives its logits before upsampling, as `SegmentationModel` does."""

    def logits(self, images):
        return self.coarse(images)


def photos(H, W, B=2):
    return torch.randn(B, 3, H, W, generator=torch.Generator().manual_seed(1))


def in_one_map(model, images, inference, *, divided=True):
    """Logits of a pass of windows in one map (B, K, H, W), as they were summed before there were tiles."""
    (crop_h, crop_w), (down, right) = inference.window
    B, _, H, W = images.shape
    h, w = min(crop_h, H), min(crop_w, W)
    tops, lefts = window_starts(H, h, down), window_starts(W, w, right)
    windows = [(b, y, x) for b in range(B) for y in tops for x in lefts]
    total, counts = torch.zeros(B, K, H, W), torch.zeros(H, W)
    for start in range(0, len(windows), 4):
        batch = windows[start : start + 4]
        logits = model(torch.stack([images[b, :, y : y + h, x : x + w] for b, y, x in batch])).detach()
        for (b, y, x), scores in zip(batch, logits, strict=True):
            total[b, :, y : y + h, x : x + w] += scores
            counts[y : y + h, x : x + w] += b == 0
    return total / counts if divided else total


def probabilities_in_one_map(model, images, inference):
    """Averaged over scales and directions, each pass in one map."""
    total, (H, W) = 0, images.shape[-2:]
    for scale in inference.scales:
        scaled = resize(images, (max(1, int(H * scale + 0.5)), max(1, int(W * scale + 0.5))), model.align_corners)
        for flip in (False, True) if inference.flip else (False,):
            logits = in_one_map(model, scaled.flip(-1) if flip else scaled, inference)
            logits = resize(logits.flip(-1) if flip else logits, (H, W), model.align_corners)
            total = total + logits.softmax(1)
    return total / inference.num_passes


@pytest.fixture(params=[2**28, 4 * K * 600], ids=["few tiles", "many tiles"], autouse=True)
def tile_bytes(request, monkeypatch):
    monkeypatch.setattr(tiles, "TILE_BYTES", request.param)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("kind", [Fine, Coarse])
@pytest.mark.parametrize(("H", "W"), SIZES)
def test_logits_and_labels_of_a_single_pass_are_those_of_one_map_to_the_last_bit(H, W, kind, align_corners, layout):
    model, images = kind(align_corners, layout), photos(H, W)
    assert torch.equal(predict(model, images, inference=SLIDE), in_one_map(model, images, SLIDE))
    expected = in_one_map(model, images, SLIDE, divided=False).argmax(1)
    assert torch.equal(predict_labels(model, images, inference=SLIDE).long(), expected)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("flip", "scales"), [(True, (1.0,)), (False, (0.7, 1.9)), (True, (0.5, 1.3))])
@pytest.mark.parametrize(("H", "W"), SIZES)
def test_probabilities_of_several_passes_are_those_of_whole_maps_up_to_rounding(H, W, flip, scales, align_corners):
    """Softmax and resizing round otherwise on another shape: a unit in the last place of float32 or two, times the logits."""
    inference = dataclasses.replace(SLIDE, flip=flip, scales=scales)
    model, images = Coarse(align_corners), photos(H, W)
    expected = probabilities_in_one_map(model, images, inference)
    scores = predict(model, images, inference=inference)
    assert (scores - expected).abs().max() < 1e-5
    assert (scores - expected).abs().mean() < 1e-6
    best, second = expected.topk(2, dim=1).values.unbind(1)
    clear = best - second > 2e-5  # elsewhere rounding decides
    assert torch.equal(predict_labels(model, images, inference=inference)[clear].long(), expected.argmax(1)[clear])
    labels, confidence = predict_confidence(model, images, inference=inference)
    assert torch.equal(labels[clear].long(), expected.argmax(1)[clear])
    assert (confidence - expected.amax(1)).abs().max() < 1e-5


def test_flip_alone_differs_by_the_softmax_only():
    model, images, inference = Coarse(), photos(43, 51), dataclasses.replace(SLIDE, flip=True)
    gap = predict(model, images, inference=inference) - probabilities_in_one_map(model, images, inference)
    assert gap.abs().max() <= 2 * torch.finfo(torch.float32).eps


def test_confidence_of_a_single_pass_is_the_softmax_of_the_averaged_logits():
    model, images = Coarse(), photos(43, 51)
    expected = in_one_map(model, images, SLIDE).softmax(1).max(1)
    labels, confidence = predict_confidence(model, images, inference=SLIDE)
    assert torch.equal(labels.long(), expected.indices)
    assert (confidence - expected.values).abs().max() <= 2 * torch.finfo(torch.float32).eps


def test_short_side_and_output_size_are_resized_in_tiles():
    model, images = Coarse(), photos(43, 51)
    inference = dataclasses.replace(SLIDE, short_side=37)
    small = F.interpolate(images, size=(37, 44), mode="bilinear", align_corners=False, antialias=True)
    expected = resize(in_one_map(model, small, SLIDE), (43, 51), False)
    assert (predict(model, images, inference=inference) - expected).abs().max() < 1e-5
    expected = resize(in_one_map(model, images, SLIDE), (29, 101), False)
    assert (predict(model, images, inference=SLIDE, output_size=(29, 101)) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("size", "new"), [((13, 11), (37, 29)), ((37, 29), (13, 11)), ((1, 7), (5, 1)), ((9, 9), (9, 17))]
)
def test_part_of_a_resized_map_is_cut_from_the_whole(size, new, align_corners):
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))
    whole = resize(maps, new, align_corners)
    rows, columns = range(new[0] // 3, new[0]), range(new[1] // 2, new[1])
    part = resized_part(maps, size, new, (rows, columns), align_corners)
    torch.testing.assert_close(part, whole[..., rows.start :, columns.start :])


def test_every_window_is_computed_once_and_dropped_when_it_is_not_needed():
    class Counted(Coarse):
        windows = 0

        def logits(self, images):
            self.windows += len(images)
            return super().logits(images)

    model, images = Counted(), photos(120, 71, B=1)
    inference = dataclasses.replace(SLIDE, flip=True)
    across, down = len(window_starts(71, 19, 7)), len(window_starts(120, 17, 11))
    kept = []
    each = tiles._Pass(model, images, inference, (120, 71), False, (120, 71), 4, divided=True)
    for top in range(0, 120, 11):
        each.scores(Tile(0, range(top, min(top + 11, 120)), range(71)))
        kept.append(len(each.kept))
    assert model.windows == across * down
    assert max(kept) <= 3 * across  # rows of windows over 11 rows of pixels: at most three at the shifted end
    predict_labels(model, images, inference=inference)
    assert model.windows == 3 * across * down
