"""A head whose mechanism counts what the trainer calls; the counts are buffers, so that a saved network tells them."""

import torch
from torch import distributed, nn


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("forwards", "steps", "steps_with_gradient", "mean_rank"):
            self.register_buffer(name, torch.zeros(1))

    def forward(self, x):
        self.forwards += self.training
        return x

    def after_step(self, reduce):
        self.steps += 1
        self.steps_with_gradient += torch.is_grad_enabled()
        rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.mean_rank.copy_(reduce(torch.tensor([float(rank)])))


class Head(nn.Module):
    loss_weights = {"out": 1.0}  # noqa: RUF012
    own_auxiliary = False

    def __init__(self, in_channels, num_classes, *, channels=8):
        super().__init__()
        self.reduce = nn.Conv2d(in_channels[-1], channels, 1)
        self.attention = Counts()
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features):
        return {"out": self.classify(self.attention(self.reduce(features[-1])))}

    def attention_maps(self, features, pixel):
        return {}
