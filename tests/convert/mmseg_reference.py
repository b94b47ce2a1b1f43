"""Run in an environment that has mmsegmentation: a segmentor with random weights, an image, and what comes out.

    VENV/bin/python mmseg_reference.py CASE.json OUT.pth

The case names a configuration of mmsegmentation's own (`_base_/models/NAME.py`) or gives the text of one, and what to change
in it. The weights are such that nothing is zero and activations keep their size.
"""

import importlib.util
import json
import sys
from pathlib import Path

import torch

_TORCHVISION = torch.library.Library("torchvision", "DEF")  # two schemas that torchvision's Python part asks for
_TORCHVISION.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_TORCHVISION.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import mmcv  # noqa: E402
import mmseg  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmseg.models.decode_heads import cc_head  # noqa: E402
from mmseg.registry import MODELS  # noqa: E402
from mmseg.utils import register_all_modules  # noqa: E402


def load_criss_cross() -> None:
    """mmcv's operators need its compiled part; criss-cross attention is Python, so its file is loaded alone."""
    spec = importlib.util.spec_from_file_location("cc_attention", Path(mmcv.__file__).parent / "ops/cc_attention.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cc_head.CrissCrossAttention = module.CrissCrossAttention


def configuration(case: dict) -> Config:
    if "text" in case:
        config = Config.fromstring(case["text"], ".py")
    else:
        config = Config.fromfile(Path(mmseg.__file__).parent / f".mim/configs/_base_/models/{case['name']}.py")
    model = config.model
    model.pretrained = None
    cascade = isinstance(model.decode_head, list)
    heads = model.decode_head if cascade else [model.auxiliary_head, model.decode_head]
    for section in (model.backbone, *heads):
        section.norm_cfg = {"type": "BN"}  # the same arithmetic as SyncBN on one device
    for head in heads:
        head.dropout_ratio = 0.0  # for the comparison in training mode
        head.update(case.get("heads", {}))
    heads[-1].update(case.get("own", {}))
    model.backbone.update(case.get("backbone", {}))
    return config


def randomise(model: torch.nn.Module, image: torch.Tensor) -> None:
    """Weights from a normal distribution (He), every scalar and norm away from 0 and 1, statistics those of the image."""
    for parameter in model.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        torch.nn.init.normal_(parameter, std=(2 / fan_in) ** 0.5 if parameter.ndim > 1 else 0.2)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        both(model, image)
    for norm in norms:
        norm.momentum = 0.1
        norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.25)


def both(model: torch.nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits of both heads on the feature map."""
    features = model.extract_feat(image)
    if isinstance(model.decode_head, torch.nn.ModuleList):  # a cascade: the second head reads the first one's logits
        first = model.decode_head[0](features)
        return {"out": model.decode_head[1](features, first), "aux": first}
    logits = model.decode_head(features)
    names = ("out", "position", "channel") if isinstance(logits, tuple) else ("out",)
    outputs = dict(zip(names, logits if isinstance(logits, tuple) else (logits,), strict=True))
    return {**outputs, "aux": model.auxiliary_head(features)}


def main() -> None:
    case = json.loads(Path(sys.argv[1]).read_text())
    torch.manual_seed(case["seed"])
    register_all_modules()
    load_criss_cross()
    config = configuration(case)
    model = MODELS.build(config.model)
    image = torch.randn(2, 3, *case["size"])
    if "weights" in case:
        model.load_state_dict(torch.load(case["weights"], weights_only=True)["state_dict"], strict=True)
    else:
        randomise(model, image)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        model.eval()
        logits = both(model, image)
        shapes = dict.fromkeys(("ori_shape", "img_shape", "pad_shape"), case["size"])
        metas = [{**shapes, "padding_size": [0] * 4}] * 2
        upsampled = model.encode_decode(image, metas)
        model.train()
        trained = both(model, image)
    after = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    with torch.no_grad():
        exact = both(model.double().eval(), image.double())
    result = {
        "state_dict": state,
        "meta": {"cfg": config.pretty_text, "dataset_meta": {"classes": ["a"] * model.num_classes}},
        "image": image,
        "logits": logits,
        "upsampled": upsampled,
        "training": trained,
        "state_after": after,
        "exact": exact,
        "versions": {"mmsegmentation": mmseg.__version__, "mmcv": mmcv.__version__, "torch": str(torch.__version__)},
    }
    torch.save(result, sys.argv[2])


if __name__ == "__main__":
    main()
