"""Sheared maps, whose columns are diagonals: row i of a map, shifted cyclically by `step` i columns. Step 0 changes nothing.

With step 1, position (i, j) is found in column j - i modulo W. Column c holds the diagonal that falls to the right from (0, c)
and wraps around the edge; each piece is a line of its own. Shearing by -`step` undoes it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def shear(x: Float[Tensor, "B X H W"], step: int) -> Float[Tensor, "B X H W"]:
    """Lines that move on by `step` columns from row to row become columns."""
    return x.gather(3, _wrapped(_columns(x.shape[2], x.shape[3], step, x.device), x.shape[3]).expand_as(x))


def off_line(height: int, width: int, step: int, device: torch.device | None = None) -> Bool[Tensor, "I H W"]:
    """Whether row i of the column of (h, w) in a sheared map is on another line, or is (h, w) itself. I = H."""
    rows, columns = torch.arange(height, device=device), _columns(height, width, step, device)
    line = columns - _wrapped(columns, width)  # the same for all of a column that are on one line
    return (line.unsqueeze(1) != line) | (rows.unsqueeze(1) == rows).unsqueeze(2)


def _columns(height: int, width: int, step: int, device: torch.device | None) -> Int[Tensor, "H W"]:
    """The column that each position of a sheared map comes from, before it wraps."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    return columns + step * rows.unsqueeze(1)


def _wrapped(columns: Int[Tensor, "..."], width: int) -> Int[Tensor, "..."]:
    """Modulo the width, which stays a variable of an exported graph."""
    return columns.remainder(columns.new_full((), width))


# The same, faster


class ShearedColumns:
    """The same where channels lie together: a shear moves whole positions, so it chooses rows of an (N, C) matrix.

    Columns of a batch lie one after the other, as matrix products take them.
    """

    def __init__(self, height: int, width: int, step: int, device: torch.device) -> None:
        rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
        order = rows * width + _wrapped(columns.unsqueeze(1) + step * rows, width)
        place = _wrapped(columns - step * rows.unsqueeze(1), width) * height + rows.unsqueeze(1)
        self.size, self.order, self.place = (height, width), order.flatten(), place.flatten()  # each other's inverse
        self.off_line = off_line(height, width, step, device).permute(2, 1, 0).contiguous()  # (W, H, I)

    def sheared(self, x: Float[Tensor, "B H W X"]) -> Float[Tensor, "_ H X"]:
        return x.flatten(1, 2).index_select(1, self.order).reshape(-1, self.size[0], x.shape[3])

    def restored(self, x: Float[Tensor, "_ H X"]) -> Float[Tensor, "B H W X"]:
        height, width = self.size
        return (
            x.reshape(-1, width * height, x.shape[2]).index_select(1, self.place).reshape(-1, height, width, x.shape[2])
        )

    def masked(self, logits: Float[Tensor, "_ H I"]) -> Float[Tensor, "_ H I"]:
        """-inf where they are off_line."""
        height, width = self.size
        return logits.reshape(-1, width, height, height).masked_fill(self.off_line, float("-inf")).flatten(0, 1)
