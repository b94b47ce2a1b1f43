import colorsys

import numpy as np
import pytest

from segattn.data import _photometric
from segattn.data._photometric import distort

COLOURS = np.random.default_rng(1512).integers(0, 256, (37, 41, 3)).astype(np.uint8)
COLOURS[0, :7] = [[0, 0, 0], [255, 255, 255], [7, 7, 7], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]


def by_the_book(saturation, sectors):
    """Each pixel through HSV in floating point."""
    out = np.zeros(COLOURS.shape)
    for place in np.ndindex(COLOURS.shape[:2]):
        hue, full, value = colorsys.rgb_to_hsv(*COLOURS[place] / 255)
        out[place] = colorsys.hsv_to_rgb((hue + sectors / 6) % 1, min(1, full * saturation), value)
    return out * 255


@pytest.mark.parametrize("factor", [0.5, 0.83, 1.5])
def test_saturation_is_that_of_hsv(factor):
    planes = COLOURS.transpose(2, 0, 1).astype(np.float32, order="C")
    _photometric._saturate(planes, np.float32(factor))
    assert np.abs(planes.transpose(1, 2, 0) - by_the_book(factor, 0)).max() < 0.51  # the rounding to bytes


@pytest.mark.parametrize("steps", [-77, -1, 40, 77])
def test_hue_is_that_of_hsv(steps):
    planes = np.ascontiguousarray(COLOURS.transpose(2, 0, 1).astype(np.int16))
    turned = _photometric._turned(planes, steps).transpose(1, 2, 0)
    assert np.abs(turned - by_the_book(1, steps / 128)).max() < 0.51


class Drawn:
    """A generator that gives the numbers of a list."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)

    def uniform(self, low, high):
        number = self.numbers.pop(0)
        assert low <= number <= high
        return number


def test_contrast_comes_before_or_after_the_colours():
    image = np.array([[[200, 180, 160]]], np.uint8)
    # brightness -20; contrast 1.5; no saturation, no hue; contrast first: (180, 160, 140) * 1.5, 255 at most
    assert distort(image, Drawn(-20, 0, 0, 1.5, 1, 0, 1, 0)).tolist() == [[[255, 240, 210]]]
    # and saturation 0.5: V 255, chroma 45 halved, half a byte to the even one; contrast first
    assert distort(image, Drawn(-20, 0, 0, 1.5, 0, 0.5, 0, 1, 0)).tolist() == [[[255, 248, 232]]]
    # contrast last: (180, 160, 140) to (180, 170, 160), then times 1.5
    assert distort(image, Drawn(-20, 0, 0, 1.5, 0, 0.5, 0, 1, 1)).tolist() == [[[255, 255, 240]]]


def test_nothing_drawn_changes_nothing_and_the_image_given_stays():
    kept = COLOURS.copy()
    assert np.array_equal(distort(COLOURS, Drawn(20, 1, 1, 1, 0, 1, 0)), COLOURS)
    distort(COLOURS, np.random.default_rng(3))
    assert np.array_equal(COLOURS, kept)


def test_blocks_of_rows_leave_no_seam(monkeypatch):
    whole = [distort(COLOURS, np.random.default_rng(seed)) for seed in range(11)]
    monkeypatch.setattr(_photometric, "_BLOCK_ROWS", 5)
    for seed in range(11):
        assert np.array_equal(distort(COLOURS, np.random.default_rng(seed)), whole[seed])
