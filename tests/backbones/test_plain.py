import math

import pytest
import torch

from segattn.backbones.plain import STRIDES, SimplePyramid, cropped


@pytest.mark.parametrize("stride", [8, 14, 16, 32])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_maps_cover_the_image_at_the_strides_wanted(stride, output_stride):
    size = (65, 97)
    pyramid = SimplePyramid(24, stride, STRIDES[output_stride])
    maps = pyramid(torch.randn(2, 24, *(math.ceil(side / stride) for side in size)), size)
    expected = [
        (2, c, math.ceil(65 / s), math.ceil(97 / s))
        for c, s in zip(pyramid.channels, STRIDES[output_stride], strict=True)
    ]
    assert [tuple(x.shape) for x in maps] == expected


def test_channels_are_halved_with_each_doubling():
    assert SimplePyramid(384, 16, STRIDES[8]).channels == (96, 192, 192, 192)
    assert SimplePyramid(384, 16, STRIDES[32]).channels == (96, 192, 384, 384)
    assert SimplePyramid(384, 32, STRIDES[32]).channels == (48, 96, 192, 384)


def test_map_at_its_own_stride_is_the_last_map_and_at_the_next_its_maximum():
    x = torch.randn(1, 4, 3, 5)
    maps = SimplePyramid(4, 16, STRIDES[32])(x, (48, 80))
    assert torch.equal(maps[2], x)
    assert torch.equal(maps[3][..., 0, 0], x[..., :2, :2].amax((2, 3)))
    assert torch.equal(maps[3][..., 1, 2], x[..., 2, 4])  # the odd last row and column


def test_patch_of_14_is_resized_from_stride_7_to_8():
    pyramid = SimplePyramid(2, 14, (8,))
    x = torch.randn(1, 2, 4, 4)  # of 56 x 56 pixels: 8 x 8 positions of stride 7, and 7 x 7 of stride 8
    doubled = pyramid.branches[0](x)
    assert doubled.shape == (1, 1, 8, 8)
    at_0, at_1 = doubled[0, 0, 0, :2]  # stride 8 has its first centre at 8 / 7 / 2 of a column less a half: 1 / 14
    row = doubled[0, 0, :2].T @ torch.tensor([13 / 14, 1 / 14])
    assert torch.allclose(pyramid(x, (56, 56))[0][0, 0, 0, 0], row[0] * 13 / 14 + row[1] / 14, atol=1e-6)
    assert at_0 != at_1


def test_padding_is_cut_off():
    x = torch.arange(20.0).reshape(1, 1, 4, 5)
    assert torch.equal(cropped(x, (33, 64), 16), x[..., :3, :4])
