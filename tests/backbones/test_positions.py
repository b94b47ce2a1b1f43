"""Positions at sizes that timm did not build the network for, compared with timm's network built for that size."""

import copy

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("timm")

from segattn import backbones
from segattn.backbones.positions import relative_index
from tests import tiny_timm


@pytest.fixture(autouse=True)
def small(monkeypatch):
    tiny_timm.cut(monkeypatch)


def beit(**options):
    torch.manual_seed(0)
    body = backbones.create("timm:beit_base_patch16_224", output_stride=16, pyramid=False, **options).eval()
    generator = torch.Generator().manual_seed(1)
    for block in body.network.blocks:  # zero at first
        table = block.attn.relative_position_bias_table
        table.data = torch.randn(table.shape, generator=generator)
    return body


def last(network, images):
    return network.forward_intermediates(images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True)[0]


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (5, 2)])
def test_index_is_timms(grid):
    from timm.models.beit import gen_relative_position_index

    assert torch.equal(torch.from_numpy(relative_index(grid)), gen_relative_position_index(grid).flatten())


@pytest.mark.parametrize("size", [(224, 224), (64, 96)])
def test_beit_at_the_size_it_is_built_for_is_timms(size):
    import timm

    body = beit(img_size=size)
    reference = timm.create_model("beit_base_patch16_224", img_size=size).eval()
    reference.load_state_dict(body.network.state_dict(), strict=False)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(body(images)[3], last(reference, images))


def test_beits_table_is_interpolated_between_offsets():
    """A bias that is linear in the offset along x nearly stays so: from 14 columns to 7, a step is 27 / 13 of one before.

    torch's cubic kernel (a = -0.75) reproduces a line to 2 % only.
    """
    body = beit()
    attention = body.network.blocks[0].attn
    rows, columns = 27, 27
    attention.relative_position_bias_table.data[:-3] = (torch.arange(columns) - 13.0).repeat(rows)[:, None]
    attention.relative_position_bias_table.data[-3:] = torch.tensor([7.0, 8.0, 9.0])[:, None]
    body.positions.set((112, 112))
    bias = attention._get_rel_pos_bias()[0, 0]
    assert (bias[0, 0], bias[0, 1], bias[1, 0]) == (9, 7, 8)
    from_the_middle = bias[1 + 3, 1 + 3 - 2 : 1 + 3 + 3]  # position 3 of the first row with positions 1 to 5
    assert torch.allclose(from_the_middle, torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0]) * 27 / 13, rtol=0.02)


def test_hiera_at_another_size_is_timms_built_for_it():
    import timm

    torch.manual_seed(0)
    body = backbones.create("timm:hiera_tiny_224", output_stride=32).eval()
    state = body.network.model.state_dict()
    positions = state["pos_embed"].unflatten(1, (56, 56)).permute(0, 3, 1, 2)
    resized = F.interpolate(positions, size=(24, 16), mode="bicubic", align_corners=False)
    reference = timm.create_model("hiera_tiny_224", img_size=(96, 64), features_only=True).eval()
    reference.model.load_state_dict({**state, "pos_embed": resized.flatten(2).mT})
    images = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        body(torch.randn(1, 3, 130, 91))  # another size before
        for mine, other in zip(body(images), reference(images), strict=True):
            assert torch.allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize("name", ["beit_base_patch16_224", "hiera_tiny_224", "vit_tiny_patch16_224"])
def test_sizes_one_after_the_other_leave_no_trace(name):
    torch.manual_seed(0)
    body = backbones.create(f"timm:{name}", output_stride=32).eval()
    fresh = copy.deepcopy(body)
    images = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        body(torch.randn(1, 3, 224, 224))
        body(torch.randn(1, 3, 31, 160))
        for after, before in zip(body(images), fresh(images), strict=True):
            assert torch.equal(after, before)
