"""The start of the trunk that sees 103 pixels: python -m docs.make.wider runs/streets-wider.safetensors

Writes the backbone of the zoo's trunk `streets-local`, which sees 55 pixels, for a wider receptive field: each 1x1 kernel that is
3x3 there becomes the centre of a kernel of zeros, so that the maps are the same until training fills the rest.
`segattn/experiments/findings_mid.py` says how it goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from segattn import backbones
from segattn.backbones import pretrained

TRUNK = "streets-local"
RECEPTIVE_FIELD = 103


def widened(receptive_field: int = RECEPTIVE_FIELD) -> dict[str, Tensor]:
    """The trunk's weights for a ResNet-18 whose positions see so many pixels.

    Raises:
        ValueError: a receptive field that it cannot have.
    """
    weights = pretrained.read(TRUNK).backbone
    own = backbone(receptive_field).state_dict()
    return {name: _padded(value, own[name]) for name, value in weights.items()}


def backbone(receptive_field: int) -> nn.Module:
    """The trunk's network, of another receptive field and at random."""
    network = pretrained.read(TRUNK).network or {}
    options = {**network["backbone_options"], "receptive_field": receptive_field}
    return backbones.create(network["backbone"], output_stride=network["output_stride"], **options)


def _padded(value: Tensor, own: Tensor) -> Tensor:
    """The value, with kernels as large as its own."""
    if value.ndim < 4:
        return value
    border = (own.shape[-1] - value.shape[-1]) // 2
    return F.pad(value.float(), (border, border, border, border))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(widened(), out)
    print(f"{out}: {TRUNK}, for {RECEPTIVE_FIELD} pixels")


if __name__ == "__main__":
    main()
