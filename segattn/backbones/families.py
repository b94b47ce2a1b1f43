"""Families of timm's networks: one example each, how their sizes are handled, and what cannot be a backbone.

A family is known by timm's module. A network whose module is in no table here is taken for a pyramid of convolutions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

FAMILIES: dict[str, dict[str, str]] = {
    "plain transformers": {
        "ViT": "vit_tiny_patch16_224",
        "DeiT": "deit_tiny_patch16_224",
        "DINOv2": "vit_small_patch14_dinov2",
        "DINOv2, registers": "vit_small_patch14_reg4_dinov2",
        "DINOv3": "vit_small_patch16_dinov3",
        "CLIP": "vit_base_patch32_clip_224",
        "SigLIP": "vit_base_patch16_siglip_224",
        "BEiT": "beit_base_patch16_224",
        "EVA-02": "eva02_tiny_patch14_224",
        "SAM": "samvit_base_patch16",
        "XCiT": "xcit_nano_12_p8_224",
        "hybrid ViT": "vit_tiny_r_s16_p8_224",
    },
    "hierarchical transformers": {
        "Swin": "swin_tiny_patch4_window7_224",
        "Swin V2": "swinv2_tiny_window8_256",
        "Swin V2 CR": "swinv2_cr_tiny_224",
        "PVTv2": "pvt_v2_b0",
        "Hiera": "hiera_tiny_224",
        "Hiera of SAM 2": "sam2_hiera_tiny",
        "MaxViT": "maxvit_nano_rw_256",
        "CAFormer": "caformer_s18",
        "EfficientViT": "efficientvit_b0",
        "MViTv2": "mvitv2_tiny",
        "DaViT": "davit_tiny",
        "Twins": "twins_svt_small",
        "TinyViT": "tiny_vit_5m_224",
        "Next-ViT": "nextvit_small",
        "FocalNet": "focalnet_tiny_lrf",
    },
    "convolutions": {
        "ResNet-D": "resnet18d",
        "ConvNeXt": "convnext_atto",
        "ConvNeXt, DINOv3": "convnext_tiny.dinov3_lvd1689m",
        "ConvNeXt V2": "convnextv2_atto",
        "EfficientNet": "efficientnet_b0",
        "EfficientNet-Lite": "tf_efficientnet_lite0",
        "MobileNetV3": "mobilenetv3_small_050",
        "RegNet": "regnety_002",
        "HRNet": "hrnet_w18_small",
    },
}
"""By kind, the smallest network of each family that is tested; a family that an older timm lacks is left out of lists."""

PLAIN: dict[str, dict[str, bool]] = {
    "vision_transformer": {"dynamic_img_size": True},
    "vision_transformer_hybrid": {"dynamic_img_size": True},
    "deit": {"dynamic_img_size": True},
    "eva": {"dynamic_img_size": True},
    "beit": {},
    "vision_transformer_sam": {},
    "xcit": {},
}
"""Modules of networks with one map, and the arguments that let them take images of any size."""

HIERARCHICAL: dict[str, dict[str, bool]] = {
    "swin_transformer": {"strict_img_size": False},
    "swin_transformer_v2": {"strict_img_size": False},
    "swin_transformer_v2_cr": {"strict_img_size": False},
    **{module: {} for module in ("pvt_v2", "hiera", "hieradet_sam2", "maxxvit", "metaformer", "efficientvit_mit")},
    **{module: {} for module in ("mvitv2", "davit", "twins", "tiny_vit", "nextvit", "focalnet")},
}
"""Modules of networks with maps of strides 4, 8, 16, 32 that cannot be dilated."""

ANY_SIZE = frozenset(
    (
        *(
            "byobnet",
            "cpubone",
            "cspnet",
            "cspnext",
            "davit",
            "dpn",
            "efficientnet",
            "efficientvit_mit",
            "fastvit",
            "ghostnet",
        ),
        *(
            "hardcorenas",
            "hgnet",
            "iformer",
            "lcnetv2",
            "lowformer",
            "mobilenetv3",
            "mobilenetv5",
            "mobilevit",
            "mvitv2",
        ),
        *(
            "nextvit",
            "nfnet",
            "pvt_v2",
            "regnet",
            "repghost",
            "repvit",
            "res2net",
            "resnest",
            "resnet",
            "resnetv2",
            "rexnet",
        ),
        *("selecsls", "sknet", "starnet", "swiftformer", "tiny_vit", "xception_aligned"),
    )
)
"""Modules whose maps have ceil(size / stride) positions at any size; images for others are padded to whole positions."""

_ONE_SIZE = "its attention is built for images of one size"
_THREE_MAPS = "it has three maps, and heads need four"


@dataclass(frozen=True)
class Refusal:
    """Why the networks of a module cannot be backbones, and the nearest that can."""

    reason: str
    nearest: str


REFUSED: dict[str, Refusal] = {
    **dict.fromkeys(("cait", "convit", "tnt", "volo"), Refusal(_ONE_SIZE, "deit_small_patch16_224")),
    **dict.fromkeys(("vision_transformer_relpos", "vitamin"), Refusal(_ONE_SIZE, "vit_small_patch16_224")),
    **dict.fromkeys(("coat", "gcvit"), Refusal(_ONE_SIZE, "swin_tiny_patch4_window7_224")),
    **dict.fromkeys(("efficientformer", "efficientformer_v2"), Refusal(_ONE_SIZE, "tiny_vit_5m_224")),
    **dict.fromkeys(("levit", "efficientvit_msra", "efficientvim", "shvit"), Refusal(_THREE_MAPS, "efficientvit_b0")),
    **dict.fromkeys(("nest", "pit", "visformer"), Refusal(_THREE_MAPS, "pvt_v2_b1")),
    "crossvit": Refusal("it has two branches of maps at different strides", "deit_small_patch16_224"),
    "mlp_mixer": Refusal("its layers mix the positions of images of one size", "convnext_tiny"),
    "sequencer": Refusal("its maps have no four strides", "convnext_tiny"),
    "convmixer": Refusal("all its maps have one stride, and it is no transformer", "convnext_tiny"),
    "byoanet": Refusal(_ONE_SIZE, "resnet50d"),
    "csatv2": Refusal("its maps have strides of 8, 16, 32, 64", "efficientvit_b0"),
    "tresnet": Refusal("images have to be rearranged in blocks of 4", "resnet50d"),
    **dict.fromkeys(
        ("gemma4_vit", "qwen3_vit", "deepseek_vit", "naflexvit"),
        Refusal("it takes sequences of patches, not images", "vit_base_patch16_siglip_224"),
    ),
}
"""By module; `coat...` networks of the module `maxxvit` are refused in `refusal`."""
LACKING = {
    "mit": Refusal("timm has no MiT of SegFormer", "pvt_v2_b0"),
    "segformer": Refusal("timm has no MiT of SegFormer", "pvt_v2_b0"),
    "internimage": Refusal("timm has no InternImage", "convnext_tiny"),
    "cswin": Refusal("timm has no CSWin", "swin_tiny_patch4_window7_224"),
    "uniformer": Refusal("timm has no UniFormer", "caformer_s18"),
    "vmamba": Refusal("timm has no VMamba", "mambaout_tiny"),
    "dinov2": Refusal("that is no name of timm", "vit_small_patch14_dinov2"),
    "dinov3": Refusal("that is no name of timm", "vit_small_patch16_dinov3"),
    "sam": Refusal("that is no name of timm", "samvit_base_patch16"),
    "vit": Refusal("that is no name of timm", "vit_small_patch16_224"),
}
"""What people look for, by the beginning of its name, and timm does not have under that name."""


def refusal(module: str, name: str) -> Refusal | None:
    """Why a network of timm cannot be a backbone; None if it can."""
    if module == "maxxvit" and name.startswith("coat"):
        return Refusal(_ONE_SIZE, "maxvit_nano_rw_256")
    return REFUSED.get(module)


def windows(network: nn.Module) -> tuple[int, int]:
    """Pixels of a window of the last map, at stride 32; MaxViT needs whole windows and says how large they are."""
    sizes: list[Any] = [module.partition_size for module in network.modules() if hasattr(module, "partition_size")]
    heights, widths = {32 * height for height, _ in sizes}, {32 * width for _, width in sizes}
    return math.lcm(32, *heights), math.lcm(32, *widths)


def check_cut(network: nn.Module, name: str) -> None:
    """Refuse what timm computes whole for any map: HRNet, whose maps exchange information, and networks with hooks."""
    if type(network).__name__ in ("HighResolutionNetFeatures", "FeatureHookNet"):
        raise ValueError(
            f"timm:{name} cannot have fewer stages: timm computes all of them for any map; leave stages out"
        )


def cut_behind(network: Any) -> None:
    """Drop the blocks behind the last map: timm's EfficientNets keep and run them, whatever maps are asked for."""
    name, _, index = network.feature_info.module_name()[-1].partition(".")  # as `blocks.2`
    blocks = getattr(network, name, None)
    if isinstance(blocks, nn.Sequential) and index.isdigit():
        setattr(network, name, blocks[: int(index) + 1])
