"""Attention to windows that move with their query, on a CPU, one tile of queries at a time, without storing the weights.

`tiles.py` has the same tiles, all at once, for graphs and GPUs, where a loop over them would cost a launch each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from segattn.heads.parts.recording import simulated
from segattn.heads.parts.tiles import TILE


class Windows(NamedTuple):
    """Where the windows of a tile lie among its keys, along an axis; most tiles of a map have the same."""

    starts: tuple[int, ...]
    """Of each query, the first key of its window."""
    places: tuple[int, ...]
    """Of each query, its own place among the keys; that may be before the first or after the last."""
    size: int
    """Of every window."""


class Tile(NamedTuple):
    """A tile of an axis: its queries, the keys that their windows cover, and the windows among them."""

    queries: slice
    keys: slice
    windows: Windows


def tiles_of(extent: int, kernel_size: int, dilation: int) -> list[Tile]:
    """The tiles of an axis, of equal sizes up to 8: each has indices of one remainder by the dilation.

    >>> [(tile.queries, tile.keys) for tile in tiles_of(9, 3, 1)]
    [(slice(0, 4, 1), slice(0, 5, 1)), (slice(4, 9, 1), slice(3, 9, 1))]
    """
    tiles = []
    for remainder in range(min(dilation, extent)):
        length = -(-(extent - remainder) // dilation)
        size = min(kernel_size, length)
        starts = [min(max(i - kernel_size // 2, 0), length - size) for i in range(length)]
        count = -(-length // TILE)
        for m in range(count):
            own = range(m * length // count, (m + 1) * length // count)
            first, after = starts[own[0]], starts[own[-1]] + size
            queries, keys = (
                slice(remainder + a * dilation, remainder + (b - 1) * dilation + 1, dilation)
                for a, b in ((own[0], own[-1] + 1), (first, after))
            )
            windows = Windows(tuple(starts[i] - first for i in own), tuple(i - first for i in own), size)
            tiles.append(Tile(queries, keys, windows))
    return tiles


class InTiles(torch.autograd.Function):
    """y_i = sum_{j in rho(i)} softmax_{j in rho(i)}(q_i^T k_j / sqrt(d) + b_{j-i}) v_j, as the products of a tile with its keys.

    A key outside the window of a query has a bias of -inf, so a weight of 0. The backward pass recomputes the weights of a tile,
    and continues as in `in_blocks.InBlocks`.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, table: Tensor | None, kernel_size: int, dilation: int
    ) -> Tensor:
        """Query, key and value (B, H, W, h, d), table (h, 2 K - 1, 2 K - 1) or None, to (B, H, W, h, d)."""
        y, biases = torch.empty_like(value), _Biases(query, table, kernel_size)
        for b, rows, columns in InTiles.all_tiles(query, kernel_size, dilation):
            queries, keys = (b, rows.queries, columns.queries), (b, rows.keys, columns.keys)
            weights = InTiles.weights(_cut(query, queries), _cut(key, keys), biases.of(rows, columns))
            _put(y, queries, weights @ _cut(value, keys))
        ctx.save_for_backward(query, key, value, table, y)
        ctx.options = kernel_size, dilation
        return y

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        query, key, value, table, y = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        scale, biases = query.shape[4] ** -0.5, _Biases(query, table, ctx.options[0])
        gy = (g * y).sum(4, keepdim=True)  # (B, H, W, h, 1)
        for b, rows, columns in InTiles.all_tiles(query, *ctx.options):
            queries, keys = (b, rows.queries, columns.queries), (b, rows.keys, columns.keys)
            q, k, g_tile = _cut(query, queries), _cut(key, keys), _cut(g, queries)
            weights = InTiles.weights(q, k, biases.of(rows, columns))
            _put(dv, keys, weights.mT @ g_tile, add=True)
            d_logits = (g_tile @ _cut(value, keys).mT).sub_(_cut(gy, queries)).mul_(weights)
            biases.collect(rows, columns, d_logits)
            _put(dq, queries, d_logits @ k)
            _put(dk, keys, d_logits.mT @ q, add=True)
        return dq.mul_(scale), dk.mul_(scale), dv, biases.gradient(), None, None

    @staticmethod
    def weights(query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
        """Of queries (h, Q, d) over keys (h, K, d): (h, Q, K), rows sum to 1."""
        return torch.baddbmm(bias, query, key.mT, alpha=query.shape[2] ** -0.5).softmax(2)

    @staticmethod
    def all_tiles(query: Tensor, kernel_size: int, dilation: int) -> Iterator[tuple[int, Tile, Tile]]:
        """The tiles of rows and columns of every sample; of a simulation, the first alone."""
        rows, columns = (tiles_of(extent, kernel_size, dilation) for extent in query.shape[1:3])
        for b in range(len(query)):
            for tile in rows:
                for other in columns:
                    yield b, tile, other
                    if simulated(query):
                        return


class _Biases:
    """The biases (h, Q, K) of the tiles and their gradients, once for all tiles with the same windows."""

    def __init__(self, like: Tensor, table: Tensor | None, kernel_size: int) -> None:
        self.like, self.table, self.kernel_size = like, table, kernel_size
        self.known: dict[tuple[Windows, Windows], Tensor] = {}
        self.gradients: dict[tuple[Windows, Windows], Tensor] = {}

    def of(self, rows: Tile, columns: Tile) -> Tensor:
        """-inf outside the windows; (1, Q, K) without a table."""
        windows = rows.windows, columns.windows
        if windows not in self.known:
            inside, at = self.entries(*windows)
            bias = self.like.new_zeros(1, *at.shape) if self.table is None else self.table.flatten(1)[:, at]
            self.known[windows] = bias.masked_fill(~inside, float("-inf"))
        return self.known[windows]

    def entries(self, rows: Windows, columns: Windows) -> tuple[Tensor, Tensor]:
        """Whether each key is inside each query's window, and the entry of the flat table for the pair, both (Q, K)."""
        (inside_rows, down), (inside_columns, right) = self.axis(rows), self.axis(columns)
        inside = inside_rows[:, None, :, None] & inside_columns[:, None, :]
        at = down[:, None, :, None] * (2 * self.kernel_size - 1) + right[:, None, :]
        return inside.flatten(2).flatten(0, 1), at.flatten(2).flatten(0, 1)

    def axis(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """The same along an axis: inside or not, and the row or column of the table."""
        device, K = self.like.device, self.kernel_size
        keys = torch.arange(windows.starts[-1] + windows.size, device=device)
        starts, places = (torch.tensor(part, device=device).unsqueeze(1) for part in windows[:2])
        return (keys >= starts) & (keys < starts + windows.size), (keys - places + K - 1).clamp(0, 2 * K - 2)

    def collect(self, rows: Tile, columns: Tile, d_logits: Tensor) -> None:
        """Add up the gradients of the biases; 0 outside the windows."""
        windows = rows.windows, columns.windows
        if self.table is not None:
            total = self.gradients.get(windows)
            self.gradients[windows] = d_logits if total is None else total.add_(d_logits)

    def gradient(self) -> Tensor | None:
        """Of the table."""
        if self.table is None:
            return None
        total = torch.zeros_like(self.table).flatten(1)
        for windows, d_bias in self.gradients.items():
            total.index_add_(1, self.entries(*windows)[1].flatten(), d_bias.flatten(1))
        return total.view_as(self.table)


def _cut(x: Tensor, at: tuple[int, slice, slice]) -> Tensor:
    """The positions of a tile: (h, Q, d)."""
    return x[at].flatten(0, 1).transpose(0, 1)


def _put(x: Tensor, at: tuple[int, slice, slice], tile: Tensor, *, add: bool = False) -> None:
    """Write (h, Q, d) to the positions of a tile, or add it there."""
    part = x[at]
    values = tile.transpose(0, 1).view_as(part)
    part.add_(values) if add else part.copy_(values)
