"""Where a map lies over its image, and which of its cells is under a pixel."""

import dataclasses

import numpy as np
import pytest
import torch

from segattn.maps.placement import extent, position_under
from segattn.maps.types import AttentionMap
from tests.maps.test_figure import fabricated


@pytest.mark.parametrize(
    ("at", "align_corners", "expected"),
    [
        ((0, 0), False, (0, 0)), ((7, 7), False, (0, 0)), ((8, 8), False, (1, 1)), ((103, 71), False, (8, 12)),
        # 72 rows of pixels over 9 positions that lie 71/8 pixels apart: position 1 from row 4.4 on
        ((0, 4), True, (0, 0)), ((0, 5), True, (1, 0)), ((103, 71), True, (8, 12)),
    ],
)  # fmt: skip
def test_position_is_the_feature_that_the_upsampling_brings_to_the_pixel(at, align_corners, expected):
    assert position_under(at, (72, 104), (9, 13), align_corners=align_corners) == expected


@pytest.mark.parametrize("align_corners", [True, False])
def test_position_is_the_one_that_moves_the_pixels_logits_most(align_corners):
    logits = torch.zeros(9 * 13, 1, 9, 13)
    logits.view(117, 117).fill_diagonal_(1.0)
    moved = torch.nn.functional.interpolate(logits, (72, 104), mode="bilinear", align_corners=align_corners)[:, 0]
    for x, y in [(0, 0), (103, 71), (41, 22), (7, 63), (52, 36)]:
        row, column = position_under((x, y), (72, 104), (9, 13), align_corners=align_corners)
        assert moved[row * 13 + column, y, x] == moved[:, y, x].max()


def test_cells_lie_where_the_upsampling_brings_them():
    drawn = AttentionMap("a", "positions", np.zeros((3, 5), np.float32))
    assert extent(fabricated(), drawn) == (-0.5, 39.5, 23.5, -0.5)
    # corners aligned: 39/4 pixels from centre to centre, the first on pixel 0, the last on pixel 39
    assert extent(fabricated(align_corners=True), drawn) == (-4.875, 43.875, 28.75, -5.75)


def test_half_grids_have_their_corners_aligned_whatever_the_network_does():
    half = AttentionMap("a", "half_grid", np.zeros((3, 5), np.float32))
    assert extent(fabricated(), half) == extent(
        fabricated(align_corners=True), dataclasses.replace(half, kind="positions")
    )


@pytest.mark.parametrize("align_corners", [True, False])
def test_the_position_of_a_pixel_is_the_cell_that_is_drawn_over_it(align_corners):
    drawn = AttentionMap("a", "positions", np.zeros((3, 5), np.float32))
    left, right, bottom, top = extent(fabricated(align_corners=align_corners), drawn)
    for x, y in np.ndindex(40, 24):
        row, column = position_under((x, y), (24, 40), (3, 5), align_corners=align_corners)
        assert left + column * (right - left) / 5 <= x <= left + (column + 1) * (right - left) / 5
        assert top + row * (bottom - top) / 3 <= y <= top + (row + 1) * (bottom - top) / 3


@pytest.mark.parametrize("align_corners", [True, False])
def test_an_image_of_one_row_has_its_cells_within_that_row(align_corners):
    drawn = AttentionMap("a", "positions", np.zeros((1, 2), np.float32))
    placed = extent(fabricated(size=(1, 2), align_corners=align_corners), drawn)
    assert (placed.top, placed.bottom) == (-0.5, 0.5)
    assert position_under((1, 0), (1, 2), (1, 2), align_corners=align_corners) == (0, 1)
