"""Sheared maps: their columns are the lines of a step, in both layouts."""

import pytest
import torch

from segattn.heads.parts.shear import ShearedColumns, off_line, shear

SIZES = [(4, 7), (7, 4), (5, 5), (1, 3), (3, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [-2, -1, 0, 1, 2])
def test_a_shear_moves_rows_cyclically_and_its_opposite_undoes_it(size, step):
    x = torch.randn(2, 3, *size)
    expected = torch.stack([row.roll(-step * i, -1) for i, row in enumerate(x.unbind(2))], dim=2)
    assert torch.equal(shear(x, step), expected)
    assert torch.equal(shear(shear(x, step), -step), x)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_positions_of_a_column_that_are_not_off_line_lie_on_one_line(size, step):
    H, W = size
    where = torch.stack(torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij"))[None].float()
    row, column = shear(where, step)[0].int()
    masked = off_line(H, W, step)
    for c in range(W):
        for h in range(H):
            for i in range(H):
                on_line = column[i, c] - column[h, c] == step * (row[i, c] - row[h, c])
                assert masked[i, h, c] == (not on_line or i == h)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_both_layouts_shear_alike(size, step):
    columns, x = ShearedColumns(*size, step, torch.device("cpu")), torch.randn(2, 3, *size)
    last = x.permute(0, 2, 3, 1)
    assert torch.equal(columns.sheared(last), shear(x, step).permute(0, 3, 2, 1).flatten(0, 1))
    assert torch.equal(columns.restored(columns.sheared(last)), last)
    logits = torch.randn(2, size[0], *size)  # (B, I, H, W)
    expected = logits.masked_fill(off_line(*size, step), float("-inf")).permute(0, 3, 2, 1).flatten(0, 1)
    assert torch.equal(columns.masked(logits.permute(0, 3, 2, 1).flatten(0, 1)), expected)
