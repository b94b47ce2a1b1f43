"""Networks of timm as backbones (extra `timm`): `timm:convnext_tiny`, `timm:vit_small_patch14_dinov2`, `timm:pvt_v2_b0`, ...

Heads see the interface of our ResNet: four maps whose sizes are ceil(image / stride). A network with one map, such as a plain
vision transformer, gets a simple pyramid (`plain.py`). Images are padded on the right and below with zeros, the mean colour, to
whole patches and windows; positions of padding are cut off the maps. docs/backbones.md says which networks work.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.backbones import families, first_layer, timm_weights
from segattn.backbones.plain import STRIDES, SimplePyramid, cropped
from segattn.backbones.positions import BY_MODULE, Positions
from segattn.backbones.shapes import height_and_width
from segattn.backbones.without_torchvision import import_timm
from segattn.catalogue import check_options, keyword_only


def create(name: str, *, output_stride: int = 8, in_channels: int = 3, **options: Any) -> nn.Module:
    """Build `timm:NAME` with random weights; a tag behind a dot is allowed and changes nothing else than pretrained weights.

    Raises:
        ValueError: no timm, no such network, one that cannot be a backbone, an impossible output stride, or a wrong option.
    """
    timm = library(name)
    module = module_of(timm, name)
    kind = TimmPlain if module in families.PLAIN else TimmPyramid
    check_options(f"backbone 'timm:{name}'", options, keyword_only(kind))
    return kind(name, output_stride=output_stride, in_channels=in_channels, **options)


def library(name: str) -> ModuleType:
    """The package timm; ValueError says how to install it for the backbone `name`."""
    try:
        return import_timm()
    except ImportError as error:
        raise ValueError(f"backbone timm:{name} needs the extra: pip install 'segattn[timm]' ({error})") from error


def module_of(timm: ModuleType, name: str) -> str:
    """The module of timm that has the network, such as `swin_transformer`.

    Raises:
        ValueError: no such network, or one that cannot be a backbone; the message names the nearest that can.
    """
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise ValueError(unknown(timm, name))
    module = str(timm.model_entrypoint(architecture).__module__.rpartition(".")[2])
    if refusal := families.refusal(module, architecture):
        raise ValueError(
            f"timm:{name} cannot be a backbone: {refusal.reason}; the nearest that can: timm:{refusal.nearest}"
        )
    return module


def unknown(timm: ModuleType, name: str) -> str:
    """The message for a name that timm does not have: why, and what is near."""
    architecture = name.partition(".")[0]
    lowered = architecture.lower()
    for beginning, lacking in families.LACKING.items():
        named = lowered == beginning or lowered.startswith((f"{beginning}_", f"{beginning}-"))
        if named and timm.is_model(lacking.nearest):
            return f"timm has no network {name!r}: {lacking.reason}; use timm:{lacking.nearest}"
    near = difflib.get_close_matches(lowered, timm.list_models(), n=3) + timm.list_models(f"*{lowered[:6]}*")
    listed = ", ".join(list(dict.fromkeys(near))[:5])
    return f"timm has no network {name!r}; {f'similar names: {listed}' if near else 'see segattn backbones'}"


class _Timm(nn.Module):
    """Pads images, runs a network of timm, and cuts the padding off its maps."""

    network: nn.Module
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    multiple: tuple[int, int]
    """Height and width in pixels to whose multiples images are padded."""
    later: frozenset[str] = frozenset()  # names of weights, of the stages that are left out
    random_part: str = ""
    """What of a backbone with pretrained weights has none, in words."""

    def __init__(self, name: str, in_channels: int, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.name, self.in_channels, self.arguments = name, in_channels, dict(arguments)
        if (size := options["img_size"]) is not None:
            self.arguments["img_size"] = height_and_width("img_size", size)
        if drop_path := options["drop_path"]:
            if type(drop_path) not in (int, float) or not 0 <= drop_path < 1:
                raise ValueError(f"drop_path={drop_path!r} is a probability; give 0 or more and less than 1")
            self.arguments["drop_path_rate"] = drop_path

    def build(self, **arguments: Any) -> Any:
        """The network with the options that were given and these arguments; ValueError if it does not have one."""
        try:
            settings = {
                **self.arguments,
                **({"in_chans": self.in_channels} if self.in_channels != 3 else {}),
                **arguments,
            }
            return _created(library(self.name), self.name, settings)
        except TypeError as error:
            for option, argument in (("img_size", "img_size"), ("drop_path", "drop_path_rate")):
                if argument in self.arguments and argument in str(error):
                    raise ValueError(f"timm:{self.name} has no option {option}; leave it out") from error
            raise
        except RuntimeError as error:
            if "tag" not in str(error):
                raise
            raise ValueError(f"timm:{self.name}: {error} Leave out what stands behind the dot") from error

    def builds(self) -> bool:
        """Whether timm builds the network at its own output stride, so that another one is the reason why it does not."""
        try:
            with torch.device("meta"):
                self.build(features_only=True)
        except (NotImplementedError, TypeError, AssertionError):
            return False
        return True

    def whole(self) -> nn.Module:
        """The network as timm builds it for classification, on the meta device: its names are those of weight files."""
        with torch.device("meta"):
            whole: nn.Module = _created(library(self.name), self.name.partition(".")[0], self.arguments)
            return whole

    def load_published(self) -> None:
        """Load the weights that timm publishes under this name."""
        weights = timm_weights.fitted(self, timm_weights.downloaded(self.name)[0], f"timm:{self.name}")
        self.load_state_dict(dict(first_layer.fitted(weights, self.state_dict(), "mean")[0]))

    def padded(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) with zeros on the right and below."""
        height, width = images.shape[-2:]
        below, right = -height % self.multiple[0], -width % self.multiple[1]
        return F.pad(images, (0, right, 0, below)) if below or right else images


class TimmPyramid(_Timm):
    """The last four maps of a timm network, at the requested output stride if the network can be dilated.

    pretrained: timm's own weights of that name, downloaded; `--model.pretrained` also takes files.
    img_size: height and width that positions and windows are built for; timm's by default. Images may have any size.
    drop_path: probability that a residual branch is skipped in training, of the last block.
    stages: how many of the four maps are computed, 1 to 4; heads get the last one again in place of the rest. Convolutions then
        see less of the image and leave context to the head.
    """

    def __init__(
        self,
        name: str,
        *,
        output_stride: int = 8,
        in_channels: int = 3,
        pretrained: bool = False,
        img_size: int | Sequence[int] | None = None,
        drop_path: float = 0.0,
        stages: int = 4,
    ) -> None:
        if type(stages) is not int or not 1 <= stages <= 4:
            raise ValueError(f"stages={stages!r} is not possible; use 1, 2, 3 or 4")
        module = module_of(library(name), name)
        super().__init__(
            name, in_channels, {"img_size": img_size, "drop_path": drop_path}, families.HIERARCHICAL.get(module, {})
        )
        hierarchical, own = module in families.HIERARCHICAL, STRIDES[32][stages - 1]
        if hierarchical and output_stride != own:
            raise ValueError(_undilated(name, output_stride, "its maps have strides 4, 8, 16, 32", own))
        dilated = {} if hierarchical or output_stride >= own else {"output_stride": max(output_stride, 8)}
        try:
            self.network = self.build(features_only=True, **dilated)
        except (NotImplementedError, TypeError, AssertionError) as error:
            if not dilated or not self.builds():
                raise ValueError(_unbuilt(name, error)) from error
            raise ValueError(_undilated(name, output_stride, str(error) or "it cannot be dilated")) from error
        info: Any = self.network.feature_info
        if len(info.channels()) < 4:
            raise ValueError(
                f"timm:{name} has {len(info.channels())} maps; heads need four, such as timm:pvt_v2_b0 has"
            )
        if stages < 4:
            families.check_cut(self.network, name)
            whole = self.state_dict().keys()
            self.network = self.build(features_only=True, out_indices=tuple(info.out_indices)[-4:][:stages], **dilated)
            families.cut_behind(self.network)
            self.later = frozenset(whole - self.state_dict().keys())
        strides = STRIDES[32] if hierarchical else info.reduction()[-4:]  # CAFormer's are not declared
        self.channels, self.strides = (
            (*x[:stages], *x[stages - 1 : stages] * (4 - stages)) for x in (info.channels()[-4:], strides)
        )
        if self.strides[-1] != output_stride:
            its_maps = f"its maps have strides {_listed(self.strides)}"
            raise ValueError(_undilated(name, output_stride, its_maps, self.strides[-1]))
        self.channels_last = "NHWC" in str(getattr(self.network, "output_fmt", ""))
        self.multiple = (1, 1) if module in families.ANY_SIZE else families.windows(self.network)
        self.positions = BY_MODULE.get(module, Positions)(getattr(self.network, "model", self.network))
        if pretrained:
            self.load_published()

    def forward(self, images: Tensor) -> list[Tensor]:
        """The last four maps (B, C_i, ceil(H / s_i), ceil(W / s_i)), finest first."""
        size, images = images.shape[-2:], self.padded(images)
        self.positions.set((images.shape[-2], images.shape[-1]))
        maps = list(self.network(images))[-4:]
        if self.channels_last:
            maps = [x.permute(0, 3, 1, 2) for x in maps]
        maps = [cropped(x, size, stride) for x, stride in zip(maps, self.strides, strict=False)]
        return maps + maps[-1:] * (4 - len(maps))


class TimmPlain(_Timm):
    """The last map of a plain transformer, after its last norm, and a simple pyramid of four maps over it.

    pyramid: false gives the last map four times, at the stride of the patches; `output_stride` has to be that stride.
    Other options as in `TimmPyramid`.
    """

    def __init__(
        self,
        name: str,
        *,
        output_stride: int = 8,
        in_channels: int = 3,
        pretrained: bool = False,
        img_size: int | Sequence[int] | None = None,
        drop_path: float = 0.0,
        pyramid: bool = True,
    ) -> None:
        module = module_of(library(name), name)
        super().__init__(name, in_channels, {"img_size": img_size, "drop_path": drop_path}, families.PLAIN[module])
        try:
            network = self.build()
        except (NotImplementedError, TypeError, AssertionError) as error:
            raise ValueError(_unbuilt(name, error)) from error
        info = network.feature_info[-1]
        self.stride, width = int(info["reduction"]), int(info["num_chs"])
        network.prune_intermediate_layers(1, prune_norm=False, prune_head=True)
        neck: Any = getattr(network, "neck", None)  # SAM's, to 256 channels
        if isinstance(neck, nn.Sequential):
            width = int(neck[-2].out_channels)  # type: ignore[arg-type]
        self.network = network
        if not pyramid and output_stride != self.stride:
            raise ValueError(
                f"timm:{name} without pyramid has maps of stride {self.stride}, not {output_stride}; "
                f"{_advice(self.stride)}, or leave pyramid out"
            )
        if pyramid and output_stride not in STRIDES:
            raise ValueError(f"output_stride={output_stride} is not possible; use one of {_listed(STRIDES)}")
        self.pyramid = SimplePyramid(width, self.stride, STRIDES[output_stride]) if pyramid else None
        self.channels = self.pyramid.channels if self.pyramid is not None else (width,) * 4
        self.strides = STRIDES[output_stride] if pyramid else (self.stride,) * 4
        self.multiple = (self.stride, self.stride)
        self.positions = BY_MODULE.get(module, Positions)(network)
        if pretrained:
            self.load_published()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Four maps (B, C_i, ceil(H / s_i), ceil(W / s_i)), finest first."""
        size, images = images.shape[-2:], self.padded(images)
        self.positions.set((images.shape[-2], images.shape[-1]))
        last: Callable[..., list[Tensor]] = self.network.forward_intermediates  # type: ignore[assignment]
        (x,) = last(images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True)
        if self.pyramid is not None:
            return list(self.pyramid(x, size))
        return [cropped(x, size, self.stride)] * 4


def _created(timm: ModuleType, name: str, arguments: Mapping[str, Any]) -> Any:
    """timm's network, also on the meta device, where older versions of timm build few: these are built and then moved there."""
    try:
        return timm.create_model(name, **arguments)
    except (RuntimeError, NotImplementedError):
        if not torch.empty(0).is_meta:
            raise
    with torch.device("cpu"):
        return timm.create_model(name, **arguments).to("meta")


def _undilated(name: str, output_stride: int, reason: str, possible: int = 32) -> str:
    return f"timm:{name} cannot have output stride {output_stride} ({reason}); {_advice(possible)}"


def _unbuilt(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"timm {library(name).__version__} cannot build timm:{name}: {type(error).__name__}{f': {reason}' if reason else ''}"


def _advice(output_stride: int) -> str:
    return f"try output_stride={output_stride} (--model.output-stride {output_stride}; in flops, plan and bench --output-stride)"


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))
