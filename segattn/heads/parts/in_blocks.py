"""The attention product on a CPU without storing the weights, for values wider than queries and keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LEAST = -46.0  # logits this far below the highest have a weight of 1e-20, which changes no sum


class InBlocks(torch.autograd.Function):
    """`softmax(scale q k^T) v`, one block of queries at a time; the backward pass recomputes the weights.

    With P = softmax(scale q k^T), y = P v and g the gradient of y: dv = P^T g, and the logits' gradient is
    P * (g v^T - sum(g * y)), since the rows of P sum to 1 (Dao et al., FlashAttention, arXiv 2205.14135, appendix B).
    """

    BLOCK = 256  # queries at a time: their products reach the full rate, and their weights take 9 MB of 97x97 keys
    NUMBERS = 2**17  # of weights at a time between the products, for each thread: 512 kB, which a core's cache holds

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """(B, Q, D), (B, N, D), (B, N, V) to (B, Q, V)."""
        y = query.new_empty(*query.shape[:2], value.shape[2])
        total = query.new_empty(*query.shape[:2], 1)  # log of the softmax's denominators
        (buffer,) = InBlocks.buffers(query, key, 1)
        for b, block in InBlocks.blocks(query):
            q = query[b, block] * scale
            logits, denominators = torch.mm(q, key[b].T, out=buffer[: len(q)]), q.new_empty(len(q), 1)
            for rows in InBlocks.parts(logits):
                highest = logits[rows].amax(1, keepdim=True)
                denominators[rows] = logits[rows].sub_(highest).clamp_(LEAST).exp_().sum(1, keepdim=True)
                total[b, block][rows] = highest + denominators[rows].log()
            torch.mm(logits, value[b], out=y[b, block]).div_(denominators)
        ctx.save_for_backward(query, key, value, y, total)
        ctx.scale = scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, y, total = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        gy = (g * y).sum(2, keepdim=True)
        buffer, d_buffer = InBlocks.buffers(query, key, 2)
        for b, block in InBlocks.blocks(query):
            q, g_block = query[b, block] * ctx.scale, g[b, block]
            weights = torch.mm(q, key[b].T, out=buffer[: len(q)])
            d_logits = torch.mm(g_block, value[b].T, out=d_buffer[: len(q)])
            for rows in InBlocks.parts(weights):
                weights[rows].sub_(total[b, block][rows]).clamp_(LEAST).exp_()
                d_logits[rows].sub_(gy[b, block][rows]).mul_(weights[rows])
            dv[b].addmm_(weights.T, g_block)
            torch.mm(d_logits, key[b], out=dq[b, block])
            dk[b].addmm_(d_logits.T, q)
        return dq.mul_(ctx.scale), dk, dv, None

    @staticmethod
    def buffers(query: Tensor, key: Tensor, number: int) -> list[Tensor]:
        """Memory for the weights of one block, reused for every block, because newly allocated memory costs page faults."""
        return [query.new_empty(InBlocks.BLOCK, key.shape[1]) for _ in range(number)]

    @staticmethod
    def blocks(query: Tensor) -> Iterator[tuple[int, slice]]:
        """The blocks of queries of every sample."""
        for b in range(query.shape[0]):
            for start in range(0, query.shape[1], InBlocks.BLOCK):
                yield b, slice(start, start + InBlocks.BLOCK)

    @staticmethod
    def parts(weights: Tensor) -> Iterator[slice]:
        """Rows of a block that a cache holds while they pass from one operation to the next."""
        rows = max(1, InBlocks.NUMBERS * torch.get_num_threads() // weights.shape[1])
        for start in range(0, len(weights), rows):
            yield slice(start, start + rows)
