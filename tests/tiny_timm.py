"""Networks of timm with few blocks: the smallest of each family, cut to two blocks or to one a stage."""

from segattn.backbones import families
from segattn.backbones.timm import module_of
from segattn.backbones.without_torchvision import import_timm

EXAMPLES = [name for group in families.FAMILIES.values() for name in group.values()]
SAMPLE = ("vit_small_patch14_dinov2", "vit_small_patch16_dinov3", "beit_base_patch16_224", "swin_tiny_patch4_window7_224",
          "hiera_tiny_224", "convnext_atto")  # fmt: skip
"""Those of the default run; `make test-all` takes all."""
_VIT = {"depth": 2, "embed_dim": 48, "num_heads": 2}
_SWIN = {"depths": (1, 1, 1, 1), "embed_dim": 24}
CUTS = {
    **dict.fromkeys(("vision_transformer", "vision_transformer_hybrid", "deit", "eva", "beit"), _VIT),
    "vision_transformer_sam": {**_VIT, "global_attn_indexes": (1,)},
    "xcit": {"depth": 2},
    **dict.fromkeys(("swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr"), _SWIN),
    "hiera": {"stages": (1, 1, 1, 1), "embed_dim": 24},
    "maxxvit": {"depths": (1, 1, 1, 1), "embed_dim": (32, 32, 32, 64), "stem_width": (16, 16)},
    "davit": {"depths": (1, 1, 1, 1), "embed_dims": (24, 48, 96, 192), "num_heads": (1, 2, 4, 8)},
    **{module: {"depths": (1, 1, 1, 1)} for module in ("pvt_v2", "twins", "tiny_vit")},
    "convnext": {"depths": (1, 1, 1, 1), "dims": (16, 24, 32, 40)},
}  # fmt: skip
"""Arguments by module of timm, for those that take them."""
_BLOCKS = ("metaformer", "focalnet", "mvitv2")
"""Modules whose stages are cut to their first block after they are built."""


def output_stride(name):
    """The smallest of 8 and 32 that the network has."""
    module = module_of(import_timm(), name)
    return 32 if module in families.HIERARCHICAL or module == "hrnet" else 8


def cut(monkeypatch):
    """Let timm build small networks in this test."""
    timm = import_timm()
    build = timm.create_model

    def create_model(name, **arguments):
        module = module_of(timm, name)
        network = build(name, **{**arguments, **CUTS.get(module, {})})
        if module in _BLOCKS:
            for part in network.modules():
                if hasattr(part, "blocks"):
                    part.blocks = part.blocks[:1]
        return network

    monkeypatch.setattr(timm, "create_model", create_model)
