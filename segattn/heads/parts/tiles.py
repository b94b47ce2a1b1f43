"""Tiles of an axis and the keys that the windows of their indices cover: windowed attention as dense products of tiles.

The windows of neighbours start at most one index apart, so those of 8 indices cover 7 + K. A tile holds indices of one remainder
by the dilation, whose neighbours are neighbours in its windows too; it is padded where they end. In a graph each remainder has
two tiles or more: torch.export would make a single one a constant.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

TILE = 8


def tiles(
    extent: int, kernel_size: int, dilation: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Of an axis with windows of `kernel_size` indices at a distance of `dilation`, moved inwards at the border.

    Returns:
        the indices (M, 8) of the queries of every tile; those (M, 7 + K) of the keys of all their windows; which key is in whose
        window (M, 8, 7 + K); its offset from the query, from 0 to 2K - 2 (M, 8, 7 + K); of each index of the axis the tile and
        the place in it (L,).
    """
    K, e = kernel_size, dilation
    count = ((extent + e - 1) // e + TILE - 1) // TILE + (1 if torch.compiler.is_compiling() else 0)
    remainder = torch.arange(e, device=device).view(e, 1, 1)
    own = torch.arange(count, device=device).unsqueeze(1) * TILE + torch.arange(TILE, device=device)  # (count, 8)
    length = (extent - remainder + e - 1) // e  # (e, 1, 1)
    clamped = torch.minimum(own, (length - 1).clamp_min(0))  # (e, count, 8)
    start = torch.minimum((clamped - K // 2).clamp_min(0), (length - K).clamp_min(0))
    slots = start[..., :1] + torch.arange(TILE - 1 + K, device=device)  # (e, count, 7 + K)
    after = torch.minimum(start + K, length).unsqueeze(3)
    inside = (slots.unsqueeze(2) >= start.unsqueeze(3)) & (slots.unsqueeze(2) < after)
    offset = (slots.unsqueeze(2) - clamped.unsqueeze(3) + K - 1).clamp(0, 2 * K - 2)
    queries, keys = ((remainder + e * slot).clamp_max(extent - 1) for slot in (own, slots))
    at = torch.arange(extent, device=device)
    back = at % e * count + at // e // TILE, at // e % TILE
    per_tile = (queries, keys, inside, offset)
    queries, keys, inside, offset = (part.reshape(e * count, *part.shape[2:]) for part in per_tile)
    return queries, keys, inside, offset, back


def attend_in_tiles(
    query: Float[Tensor, "B h d H W"],
    key: Float[Tensor, "B h d H W"],
    value: Float[Tensor, "B h d H W"],
    table: Float[Tensor, "h T T"] | None,
    kernel_size: int,
    dilation: int,
) -> Float[Tensor, "B h d H W"]:
    """Attention of every position to its window, with the biases of a table of (2K-1) x (2K-1) offsets; all tiles at once."""
    B, h, d, H, W = query.shape
    rows, key_rows, inside_rows, offset_rows, back_rows = tiles(H, kernel_size, dilation, query.device)
    columns, key_columns, inside_columns, offset_columns, back_columns = tiles(W, kernel_size, dilation, query.device)
    M, N = rows.shape[0], columns.shape[0]

    def cut(x: Tensor, at_rows: Tensor, at_columns: Tensor) -> Float[Tensor, "B T Q d"]:
        """T = h tiles of both axes, in that order."""
        parts = x.permute(0, 1, 3, 4, 2).contiguous()[:, :, at_rows][:, :, :, :, at_columns]  # (B, h, M, t, M', t, d)
        return parts.transpose(3, 4).reshape(B, h * M * N, at_rows.shape[1] * at_columns.shape[1], d)

    inside = inside_rows[:, None, :, None, :, None] & inside_columns[None, :, None, :, None]  # (M, M', 8, 8, k, k)
    mask = query.new_zeros(()) if table is None else table[
        :, offset_rows[:, None, :, None, :, None], offset_columns[None, :, None, :, None]
    ]  # fmt: skip
    mask = mask.masked_fill(~inside, torch.finfo(query.dtype).min).expand(h, *inside.shape)
    mask = mask.reshape(h * M * N, TILE**2, key_rows.shape[1] ** 2)
    keys, values = (cut(x, key_rows, key_columns) for x in (key, value))
    y = F.scaled_dot_product_attention(cut(query, rows, columns), keys, values, attn_mask=mask)
    y = y.view(B, h, M, N, TILE, TILE, d)
    (tile_rows, at_rows), (tile_columns, at_columns) = back_rows, back_columns
    y = y[:, :, tile_rows.unsqueeze(1), tile_columns, at_rows.unsqueeze(1), at_columns]  # (B, h, H, W, d)
    return y.permute(0, 1, 4, 2, 3)
