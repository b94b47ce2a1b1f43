"""Maps in blocks, also as a graph cuts them."""

import pytest
import torch

from segattn.heads.parts.partition import into_blocks, layout, out_of_blocks

SIZES = [(5, 9), (7, 4), (1, 1), (2, 3)]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_blocks_hold_the_map_with_zeros_around_it_and_give_it_back(size, graph):
    x = torch.rand(2, 3, *size) + 1
    blocks = into_blocks(x, (2, 3), graph=graph)
    assert blocks.shape[3] == 2
    assert blocks.shape[5] == 3
    assert blocks.count_nonzero() == x.numel()
    assert torch.equal(out_of_blocks(blocks, size, graph=graph), x)


def test_padding_is_on_all_sides_the_smaller_half_above_and_left():
    assert layout((5, 10), (2, 4)) == ((3, 3), (0, 1))
    blocks = into_blocks(torch.ones(1, 1, 5, 10), (2, 4))
    whole = blocks[0, 0].flatten(2).flatten(0, 1)  # 6 x 12
    assert whole[:5, 1:11].eq(1).all()
    assert whole.sum() == 50


def test_a_graph_has_a_second_block_of_padding_below_and_right():
    assert layout((2, 3), (2, 3)) == ((1, 1), (0, 0))
    assert layout((2, 3), (2, 3), graph=True) == ((2, 2), (0, 0))
