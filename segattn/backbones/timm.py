"""Any timm pyramid as a backbone (extra `timm`): `timm:convnext_tiny`, `timm:resnet50d`, ...

timm's `features_only` networks give one map per stride; the last four are used, so that heads see the same interface as with
our ResNet.
"""

from __future__ import annotations

from torch import Tensor, nn


class TimmPyramid(nn.Module):
    """The last four maps of a timm network, at the requested output stride if the network can be dilated."""

    def __init__(self, name: str, *, output_stride: int = 8, in_channels: int = 3, pretrained: bool = False) -> None:
        super().__init__()
        self.in_channels = in_channels
        try:
            import timm
        except ImportError as error:
            raise ValueError(f"backbone timm:{name} needs the extra: pip install 'segattn[timm]' ({error})") from error
        if not timm.is_model(name):
            near = timm.list_models(f"*{name[:6]}*")[:5]
            raise ValueError(
                f"timm has no network {name!r}; similar names: {', '.join(near) or 'see timm.list_models()'}"
            )
        try:
            self.network = timm.create_model(
                name, features_only=True, pretrained=pretrained, output_stride=output_stride, in_chans=in_channels
            )
        except (NotImplementedError, TypeError, AssertionError) as error:
            raise ValueError(
                f"timm:{name} cannot have output stride {output_stride}: {error}; try output_stride=32"
            ) from error
        channels: list[int] = self.network.feature_info.channels()  # type: ignore[union-attr,operator]
        if len(channels) < 4:
            raise ValueError(f"timm:{name} has {len(channels)} maps; heads need four")
        self.channels = tuple(channels[-4:])

    def forward(self, images: Tensor) -> list[Tensor]:
        """The last four maps (B, C_i, H_i, W_i), finest first."""
        return list(self.network(images))[-4:]
