"""Positions of transformers that timm builds for one image size, at any other size.

timm's `dynamic_img_size` does this for most plain transformers. BEiT and Hiera have no such option: here BEiT's tables of
relative position biases and Hiera's absolute positions are interpolated (bicubic) to the grid of each image. At the size that the
network was built for, nothing is interpolated.
"""

from __future__ import annotations

from functools import lru_cache
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Size = tuple[int, int]


class Positions:
    """Does nothing: for networks that take images of any size."""

    def __init__(self, network: nn.Module) -> None:
        self.network: Any = network

    def set(self, size: Size) -> None:
        """Prepare the network for images of `size`, (height, width) in pixels."""


class BeitPositions(Positions):
    """Tables (2h - 1)(2w - 1) + 3 rows for the grid h x w; the last three rows are of the class token and stay as they are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.network.patch_embed.strict_img_size = False
        self.biased: list[Any] = [
            module for module in network.modules() if getattr(module, "relative_position_bias_table", None) is not None
        ]
        for module in self.biased:
            method = "_get_rel_pos_bias" if hasattr(module, "_get_rel_pos_bias") else "forward"
            setattr(module, method, MethodType(_bias, module))

    def set(self, size: Size) -> None:
        height, width = self.network.patch_embed.patch_size
        grid = size[0] // height, size[1] // width
        index = torch.from_numpy(relative_index(grid)).to(self.network.cls_token.device)
        for module in self.biased:
            module.grid, module.index = grid, index


@lru_cache(maxsize=8)
def relative_index(grid: Size) -> np.ndarray[Any, Any]:
    """The row of BEiT's table for each pair of tokens, flattened, ((1 + N)^2,); the class token is first.

    The first (2h - 1)(2w - 1) rows are the offsets between positions; the last three are class to position, position to class and
    class to itself.
    """
    height, width = grid
    rows, columns = np.divmod(np.arange(height * width), width)
    down, right = rows[:, None] - rows + height - 1, columns[:, None] - columns + width - 1
    num_offsets = (2 * height - 1) * (2 * width - 1)
    index = np.full((height * width + 1,) * 2, num_offsets, dtype=np.int64)
    index[1:, 0], index[0, 0] = num_offsets + 1, num_offsets + 2
    index[1:, 1:] = down * (2 * width - 1) + right
    return index.reshape(-1)


def _bias(module: Any) -> Tensor:
    """Biases (1, heads, 1 + N, 1 + N) for the grid that was set."""
    table, own, grid = module.relative_position_bias_table, tuple(module.window_size), module.grid
    if grid != own:
        offsets = table[:-3].T.reshape(1, -1, 2 * own[0] - 1, 2 * own[1] - 1).float()
        size = (2 * grid[0] - 1, 2 * grid[1] - 1)
        resized = F.interpolate(offsets, size=size, mode="bicubic", align_corners=False)
        table = torch.cat([resized[0].flatten(1).T.to(table.dtype), table[-3:]])
    count = grid[0] * grid[1] + 1
    return table[module.index].reshape(count, count, -1).permute(2, 0, 1).contiguous()[None]


class HieraPositions(Positions):
    """Positions (1, N, C) of the grid that the network was built for, or of any grid plus one window's (`abswin`)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.own = tuple(self.network.tokens_spatial_shape)
        if self.network.pos_embed_win is None:
            self.network.own_grid = self.own
            self.network._pos_embed = MethodType(_with_positions, network)

    def set(self, size: Size) -> None:
        network = self.network
        stride, unit = network.patch_stride, network.mask_unit_size
        grid = [size[0] // stride[0], size[1] // stride[1]]
        before = network.unroll.size
        network.tokens_spatial_shape, network.unroll.size = grid, grid
        network.mask_spatial_shape = [tokens // side for tokens, side in zip(grid, unit, strict=True)]
        network.reroll.size = grid
        network.reroll.schedule = {
            block: (schedule, [new * part // old for new, part, old in zip(grid, sizes, before, strict=True)])
            for block, (schedule, sizes) in network.reroll.schedule.items()
        }


def _with_positions(network: Any, x: Tensor) -> Tensor:
    """Tokens (B, N, C) plus their positions, resized to the grid of `network.tokens_spatial_shape`."""
    positions: Tensor = network.pos_embed
    own, grid = network.own_grid, tuple(network.tokens_spatial_shape)
    if grid != own:
        maps = positions.unflatten(1, own).permute(0, 3, 1, 2).float()
        resized = F.interpolate(maps, size=grid, mode="bicubic", align_corners=False)
        positions = resized.flatten(2).transpose(1, 2).to(positions.dtype)
    return x + positions


BY_MODULE: dict[str, type[Positions]] = {"beit": BeitPositions, "hiera": HieraPositions}
"""By timm's module; `Positions` for all others."""
