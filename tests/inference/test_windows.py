import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from segattn.config import Evaluation
from segattn.inference.windows import describe, labels_in_strips, predict, predict_labels, window_starts

K = 5
SLIDE = Evaluation(mode="slide", crop_size=(11, 13), stride=(7, 5))


class Stub(nn.Module):
    """A convolution, so that neighbours matter, in eval mode; remembers the shape of every batch it sees."""

    def __init__(self, kernel=3, align_corners=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, K, kernel, padding=kernel // 2)
        self.align_corners = align_corners
        self.seen = []
        self.eval()

    def forward(self, images):
        self.seen.append(tuple(images.shape))
        return self.conv(images)


class Placed(Stub):
    """Adds where in the window a pixel lies, so that every window gives another answer and left is not right."""

    def forward(self, images):
        h, w = images.shape[-2:]
        place = (torch.arange(h)[:, None] / 3 + torch.arange(w) ** 2 / 30).sin()
        return super().forward(images) + place * torch.arange(K)[:, None, None]


def random_images(B=2, H=23, W=31, seed=0):
    return torch.randn(B, 3, H, W, generator=torch.Generator().manual_seed(seed))


def slow_slide(model, images, crop, stride):
    """mmsegmentation's placement, one window of one image at a time, and a count per pixel."""
    B, _, H, W = images.shape
    rows = max(H - crop[0] + stride[0] - 1, 0) // stride[0] + 1
    columns = max(W - crop[1] + stride[1] - 1, 0) // stride[1] + 1
    total, count = torch.zeros(B, K, H, W), torch.zeros(H, W)
    for row in range(rows):
        for column in range(columns):
            bottom, right = min(row * stride[0] + crop[0], H), min(column * stride[1] + crop[1], W)
            top, left = max(bottom - crop[0], 0), max(right - crop[1], 0)
            count[top:bottom, left:right] += 1
            for b in range(B):
                window = model(images[b : b + 1, :, top:bottom, left:right])
                total[b, :, top:bottom, left:right] += window[0].detach()
    assert count.min() >= 1
    return total / count


def test_whole_image_is_the_models_own_answer():
    model, images = Placed(), random_images()
    assert torch.equal(predict(model, images), model(images).detach())


@pytest.mark.parametrize("window_batch", [1, 3, 100])
@pytest.mark.parametrize(("H", "W"), [(23, 31), (11, 13), (12, 14), (25, 18)])
def test_sliding_equals_a_loop_over_windows(H, W, window_batch):
    model, images = Placed(), random_images(H=H, W=W)
    scores = predict(model, images, inference=SLIDE, window_batch=window_batch)
    torch.testing.assert_close(scores, slow_slide(model, images, (11, 13), (7, 5)))


@pytest.mark.parametrize(("H", "W"), [(7, 31), (23, 5), (7, 5), (1, 1)])
def test_image_smaller_than_the_crop_is_one_window_of_its_own_size(H, W):
    model, images = Placed(), random_images(H=H, W=W)
    expected = slow_slide(Placed(), images, (11, 13), (7, 5))
    torch.testing.assert_close(predict(model, images, inference=SLIDE), expected)
    assert {shape[2:] for shape in model.seen} == {(min(H, 11), min(W, 13))}


def test_sliding_equals_whole_away_from_window_edges():
    # A 3x3 convolution sees padding only at the edge of its input, so every pixel that is at no window's edge is exact.
    model, images = Stub(), random_images()
    at_edge = torch.zeros(23, 31, dtype=torch.bool)
    for y in window_starts(23, 11, 7):
        for x in window_starts(31, 13, 5):
            at_edge[y, x : x + 13] = at_edge[y + 10, x : x + 13] = True
            at_edge[y : y + 11, x] = at_edge[y : y + 11, x + 12] = True
    gap = (predict(model, images, inference=SLIDE) - predict(model, images)).abs().amax((0, 1))
    assert 100 < int(at_edge.sum()) < 23 * 31 - 100
    assert gap[~at_edge].max() < 1e-6
    assert gap[at_edge].max() > 1e-2


def test_pointwise_model_slides_to_the_whole_answer_everywhere():
    model, images = Stub(kernel=1), random_images()
    torch.testing.assert_close(predict(model, images, inference=SLIDE), predict(model, images))


def test_overlaps_are_averaged_by_their_exact_count():
    calls = itertools.count(1)

    def number_of_call(windows):
        return torch.full((1, K, *windows.shape[2:]), float(next(calls)))

    inference = Evaluation(mode="slide", crop_size=(1, 4), stride=(1, 3))
    scores = predict(number_of_call, torch.zeros(1, 3, 1, 8), inference=inference, window_batch=1)
    # windows over pixels 0-3, 3-6 and, shifted inside, 4-7
    assert scores[0, 0, 0].tolist() == [1, 1, 1, 1.5, 2.5, 2.5, 2.5, 3]


def test_windows_of_cityscapes():
    # 1024 x 2048 with 769 / 513: two rows and four columns, the last ones ending with the image.
    assert window_starts(1024, 769, 513) == [0, 255]
    assert window_starts(2048, 769, 513) == [0, 513, 1026, 1279]
    assert window_starts(769, 769, 513) == [0]
    assert window_starts(770, 769, 513) == [0, 1]


def test_windows_pass_in_batches_across_images():
    model = Stub()
    predict(model, random_images(B=3, H=11, W=18), inference=SLIDE)  # two windows an image
    assert [shape[0] for shape in model.seen] == [4, 2]


def test_flip_averages_probabilities_of_both_directions():
    model, images = Placed(), random_images()
    scores = predict(model, images, inference=Evaluation(flip=True))
    there = model(images).softmax(1)
    back = model(images.flip(3)).softmax(1).flip(3)
    torch.testing.assert_close(scores, ((there + back) / 2).detach())
    assert (there - back).abs().max() > 0.1


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_scales_and_flip_equal_the_written_out_average(align_corners, mode):
    model, images = Placed(align_corners=align_corners), random_images()
    settings = replace(SLIDE if mode == "slide" else Evaluation(), flip=True, scales=(0.5, 1.0, 1.75))
    scores = predict(model, images, inference=settings)
    expected = torch.zeros(2, K, 23, 31)
    for size in [(12, 16), (23, 31), (40, 54)]:  # 11.5, 15.5, 40.25 and 54.25, halves rounded up
        scaled = F.interpolate(images, size=size, mode="bilinear", align_corners=align_corners)
        for flip in (False, True):
            seen = scaled.flip(3) if flip else scaled
            logits = slow_slide(model, seen, (11, 13), (7, 5)) if mode == "slide" else model(seen)
            logits = F.interpolate(logits, size=(23, 31), mode="bilinear", align_corners=align_corners)
            expected += (logits.flip(3) if flip else logits).softmax(1).detach() / 6
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(scores.sum(1), torch.ones(2, 23, 31))


def test_single_pass_at_another_scale_gives_logits():
    model, images = Stub(), random_images()
    scores = predict(model, images, inference=Evaluation(scales=(0.5,)))
    assert model.seen == [(2, 3, 12, 16)]
    assert (scores.sum(1) - 1).abs().max() > 0.1


@pytest.mark.parametrize("align_corners", [False, True])
def test_output_size_resizes_logits(align_corners):
    model, images = Stub(align_corners=align_corners), random_images()
    expected = F.interpolate(model(images), size=(37, 19), mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(predict(model, images, output_size=(37, 19)), expected.detach())
    assert predict_labels(model, images, output_size=(37, 19)).shape == (2, 37, 19)


@pytest.mark.parametrize(
    "inference",
    [
        Evaluation(),
        SLIDE,
        Evaluation(flip=True, scales=(0.7, 1.3)),
        Evaluation(mode="slide", crop_size=(11, 13), stride=(7, 5), flip=True, scales=(1.0, 1.5)),
    ],
)
def test_labels_are_the_argmax_of_the_scores(inference):
    model, images = Placed(), random_images()
    labels = predict_labels(model, images, inference=inference)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), predict(model, images, inference=inference).argmax(1))
    assert labels.unique().numel() > 1


@pytest.mark.parametrize(("num_classes", "dtype"), [(256, torch.uint8), (257, torch.int64)])
def test_labels_have_room_for_every_class(num_classes, dtype):
    def last_class(images):
        return torch.arange(num_classes).float()[:, None, None].expand(len(images), -1, *images.shape[2:])

    labels = predict_labels(last_class, random_images(B=1, H=2, W=3))
    assert labels.dtype == dtype
    assert labels.unique().tolist() == [num_classes - 1]


class LargeFloats(TorchDispatchMode):
    """Counts the memory blocks of at least `size` floats that operators produce."""

    def __init__(self, size):
        super().__init__()
        self.size, self.blocks = size, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if (
            isinstance(out, torch.Tensor)
            and out.is_floating_point()
            and out.untyped_storage().nbytes() >= 4 * self.size
        ):
            known = [block.untyped_storage().data_ptr() for block in self.blocks]
            if out.untyped_storage().data_ptr() not in known:
                self.blocks.append(out)
        return out


@pytest.mark.parametrize(("inference", "maps"), [(Evaluation(), 1), (SLIDE, 0)], ids=["whole", "slide"])
def test_labels_need_one_float_map_at_full_resolution_and_none_with_windows(inference, maps):
    model, images = Stub(), random_images(B=1, H=61, W=67)
    with LargeFloats(K * 61 * 67) as floats:
        predict_labels(model, images, inference=inference)
    assert len(floats.blocks) == maps


class Coarse(nn.Module):
    """Logits on an eighth of the grid, as `SegmentationModel` gives them."""

    def __init__(self, align_corners):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, K, 8, stride=8, padding=4)
        self.align_corners = align_corners
        self.eval()

    def logits(self, images):
        return self.conv(images)

    def forward(self, images):
        return F.interpolate(self.logits(images), images.shape[-2:], mode="bilinear", align_corners=self.align_corners)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("H", "W"), [(61, 67), (129, 41), (1, 1), (8, 200)])
def test_coarse_logits_are_labelled_in_strips_as_in_one_map(H, W, align_corners):
    model, images = Coarse(align_corners), random_images(H=H, W=W)
    best, second = predict(model, images).topk(2, dim=1).values.unbind(1)
    clear = best - second > 1e-5  # elsewhere rounding decides
    assert clear.float().mean() > 0.99
    labels = predict_labels(model, images)
    assert torch.equal(labels[clear].long(), predict(model, images).argmax(1)[clear])


def test_labels_of_coarse_logits_need_no_float_map_at_full_resolution():
    model, images = Coarse(True), random_images(B=1, H=131, W=67)
    with LargeFloats(K * 131 * 67) as floats:
        predict_labels(model, images)
    assert not floats.blocks


def test_sliding_scores_are_accumulated_in_place():
    model, images = Stub(), random_images(B=1, H=61, W=67)
    with LargeFloats(K * 61 * 67) as floats:
        predict(model, images, inference=SLIDE)
    assert len(floats.blocks) == 1


def test_half_precision_windows_are_summed_in_float32():
    model, images = Stub().bfloat16(), random_images().bfloat16()
    assert predict(model, images, inference=SLIDE).dtype == torch.float32
    assert predict(model, images).dtype == torch.float32


def test_prediction_leaves_images_alone_and_keeps_no_graph():
    model, images = Placed(), random_images()
    before = images.clone()
    for inference in (Evaluation(flip=True, scales=(1.0, 0.5)), SLIDE):
        assert not predict(model, images, inference=inference).requires_grad
        assert torch.equal(images, before)


@pytest.mark.parametrize(("H", "W"), [(1, 1), (1, 17), (3, 2)])
def test_tiny_images_are_predicted_at_every_setting(H, W):
    inference = Evaluation(mode="slide", crop_size=(11, 13), stride=(7, 5), flip=True, scales=(0.25, 1.0, 2.0))
    scores = predict(Stub(), random_images(H=H, W=W), inference=inference)
    assert scores.shape == (2, K, H, W)
    assert scores.isfinite().all()


def test_model_in_training_mode_is_refused():
    for model in (Stub(), Coarse(True)):
        for ask in (predict, predict_labels):
            with pytest.raises(ValueError, match=r"call model.eval\(\)"):
                ask(model.train(), random_images())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "sliding"}, "mode is 'sliding'; it must be 'whole' or 'slide'"),
        ({"mode": "slide"}, "needs evaluation.crop_size"),
        ({"mode": "slide", "stride": (7, 5)}, "needs evaluation.crop_size"),
        ({"mode": "slide", "crop_size": (11, 13), "stride": (7, 14)}, "would have no label"),
        ({"mode": "slide", "crop_size": (11, 13), "stride": (0, 5)}, "at least 1 pixel"),
        ({"mode": "slide", "crop_size": (-1, 13), "stride": (7, 5)}, "at least 1 pixel"),
        ({"crop_size": (11, 13)}, "set mode='slide'"),
        ({"stride": (7, 5)}, "set mode='slide'"),
        ({"scales": ()}, "at least one factor"),
        ({"scales": (1.0, 0.0)}, "at least one factor above 0"),
        ({"scales": (math.inf,)}, "at least one factor above 0"),
        ({"scales": (math.nan,)}, "at least one factor above 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Evaluation(**settings)


def test_no_window_at_once_is_refused():
    for ask in (predict, predict_labels):
        with pytest.raises(ValueError, match="window_batch is 0"):
            ask(Stub(), random_images(), inference=SLIDE, window_batch=0)


def test_settings_in_words():
    assert describe(Evaluation()) == "whole image; scale 1; no flip"
    assert describe(
        Evaluation(mode="slide", crop_size=(769, 700), stride=(513, 467), flip=True, scales=(0.5, 1.0, 1.75))
    ) == (
        "sliding window 769x700 (height x width) with stride 513x467; scales 0.5, 1, 1.75; with left-right flip; "
        "softmax probabilities averaged over 6 passes"
    )


def test_equal_scores_give_the_first_class_as_argmax_does():
    torch.manual_seed(0)
    logits = torch.randint(0, 3, (2, 19, 5, 7)).float()
    labels = labels_in_strips(logits, (5, 7), align_corners=False)
    assert torch.equal(labels.long(), logits.argmax(1))
