"""Several controlled heads on one backbone, trained at once with equal weight: a trunk that favours none of them.

The head `segattn.heads.parts.several` serves to train such a trunk. In every step the heads of a random subset learn, and the
backbone from all of these; heads with training outputs of their own (Denoised NL's class logits) learn in every step. In
expectation, every head has the same weight in the backbone's loss. The network predicts with its first head.

`--model.pretrained` of such a run gives each head its own member, see `segattn/backbones/pretrained.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """Controlled heads side by side. `per_step` of those without outputs of their own learn in each step."""

    family = "baseline"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        names: Sequence[str] = ("fcn", "ccnet"),
        per_step: int = 2,
        channels: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        from segattn import heads  # this module is a head itself: found by name, not imported by the catalogue

        options = {"channels": channels, "dropout": dropout}
        self.members = nn.ModuleDict(
            {name: heads.create(name, tuple(in_channels), num_classes, mode="controlled", **options) for name in names}
        )
        own = {name: dict(member.loss_weights) for name, member in self.members.items()}  # type: ignore[arg-type]
        self.always = [name for name in names if len(own[name]) > 1]
        self.sampled = [name for name in names if name not in self.always]
        if not 0 < per_step <= len(self.sampled):
            raise ValueError(f"per_step={per_step} should be from 1 to {len(self.sampled)}, the heads to draw from")
        self.per_step = per_step
        slots = ["out", *(f"out{number}" for number in range(2, per_step + 1))]
        weights = dict.fromkeys(slots, len(self.sampled) / len(names) / per_step)
        for name in self.always:
            weights |= {f"{name}_{output}": weight / len(names) for output, weight in own[name].items()}
        self.loss_weights, self.slots = weights, slots

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W): in evaluation those of the first head, in training those of the heads that learn in this step."""
        if not self.training:
            return self.members[next(iter(self.members))](features)
        drawn = torch.randperm(len(self.sampled))[: self.per_step].tolist()
        outputs = {
            slot: self.members[self.sampled[index]](features)["out"]
            for slot, index in zip(self.slots, drawn, strict=True)
        }
        for name in self.always:
            outputs |= {f"{name}_{output}": logits for output, logits in self.members[name](features).items()}
        return outputs
