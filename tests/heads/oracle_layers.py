"""Layers on one position's vector, in inference, and random weights: what the oracles of several heads are written with."""

from __future__ import annotations

from torch import Tensor, nn


def conv(layer: nn.Conv2d, vector: Tensor) -> Tensor:
    """A 1x1 convolution."""
    y = layer.weight[:, :, 0, 0] @ vector
    return y if layer.bias is None else y + layer.bias


def norm(bn: nn.BatchNorm2d, vector: Tensor) -> Tensor:
    """Batch norm by its running statistics."""
    return (vector - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias


def awake(block: nn.Module) -> nn.Module:
    """The block in float64 and inference, all parameters and statistics random."""
    block = block.double().eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return block
