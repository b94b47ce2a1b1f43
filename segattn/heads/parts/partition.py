"""Splitting maps of any size into blocks with padding, and the inverse, also in an exported graph for all sizes.

torch.export specialises a graph to one block per axis or to several, and a slice to one padding. A graph (`graph=True`) therefore
always has a second block, which the caller masks, and crops by indices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def layout(
    size: Sequence[int], partition: tuple[int, int], *, graph: bool = False
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The number of blocks (down, across), and the rows and columns of padding above and to the left of the map.

    >>> layout((5, 9), (2, 3))
    ((3, 3), (0, 0))
    """
    blocks = [(extent + part - 1) // part for extent, part in zip(size, partition, strict=True)]
    top, left = ((n * part - extent) // 2 for n, part, extent in zip(blocks, partition, size, strict=True))
    if graph:
        blocks = [torch.sym_max(n, 2) for n in blocks]
    return (blocks[0], blocks[1]), (top, left)


def into_blocks(
    x: Float[Tensor, "B C H W"], partition: tuple[int, int], *, graph: bool = False
) -> Float[Tensor, "B C Qh Ph Qw Pw"]:
    """Pad with zeros to multiples of the partition (the smaller half above and left) and split into blocks."""
    (H, W), (Ph, Pw) = x.shape[-2:], partition
    (Qh, Qw), (top, left) = layout((H, W), partition, graph=graph)
    whole = F.pad(x, (left, Qw * Pw - W - left, top, Qh * Ph - H - top))
    return whole.reshape(x.shape[0], x.shape[1], Qh, Ph, Qw, Pw)


def out_of_blocks(
    blocks: Float[Tensor, "B C Qh Ph Qw Pw"], size: Sequence[int], *, graph: bool = False
) -> Float[Tensor, "B C H W"]:
    """Undo `into_blocks` of a map of `size`."""
    (H, W), partition = size, (blocks.shape[3], blocks.shape[5])
    _, (top, left) = layout((H, W), partition, graph=graph)
    y = blocks.flatten(4).flatten(2, 3)  # (B, C, H', W')
    if not graph:
        return y[:, :, top : top + H, left : left + W]
    rows, columns = (torch.arange(n, device=y.device) + start for n, start in ((H, top), (W, left)))
    return y.index_select(2, rows).index_select(3, columns)
