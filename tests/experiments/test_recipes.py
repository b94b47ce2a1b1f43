"""The recipes of families build with their own backbone: at full size on the meta device, and cut to few blocks in training."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("timm")

from segattn import experiments, zoo
from segattn.backbones.published import PUBLISHED
from segattn.backbones.without_torchvision import import_timm
from segattn.checkpoint import load_model
from segattn.model import build_model
from segattn.training.train import train
from tests import tiny, tiny_timm

DROP_PATH = {
    "ade20k_swin": 0.3,
    "ade20k_vit": 0.1,
    "ade20k_beit": 0.1,
    "ade20k_convnext": 0.4,
    "ade20k_pvtv2": 0.1,
    "ade20k_dinov2": 0.0,
    "cityscapes_swin": 0.3,
    "cityscapes_convnext": 0.4,
}
MILLIONS = {  # of parameters of the backbone with its pyramid, without a classifier; timm's own counts to 5 %
    "ade20k_swin": 27.5,
    "ade20k_convnext": 27.8,
    "ade20k_pvtv2": 24.8,
    "cityscapes_swin": 27.5,
    "cityscapes_convnext": 27.8,
}
recipes = pytest.mark.parametrize("name", DROP_PATH)


def test_every_recipe_of_a_family_is_here():
    named = {name for name in experiments.names() if experiments.load(name).model.backbone.startswith("timm:")}
    named = {name for name in named if not name.startswith("findings_")}  # ours, not those of a family
    assert named == set(DROP_PATH)


@recipes
def test_recipe_builds_at_full_size(name):
    experiment = experiments.load(name)
    height, width = experiment.augmentation.crop_size
    stride = experiment.model.output_stride
    with torch.device("meta"):
        network = build_model(replace(experiment.model, pretrained=None), 19).train()
        outputs = network(torch.zeros(2, 3, height, width))
        maps = network.backbone(torch.zeros(2, 3, height, width))
    assert outputs["out"].shape == (2, 19, height, width)
    assert maps[-1].shape[2:] == (math.ceil(height / stride), math.ceil(width / stride))
    skipped = [module.drop_prob for module in network.modules() if type(module).__name__ == "DropPath"]
    assert max(skipped, default=0.0) == pytest.approx(DROP_PATH[name])
    if name in MILLIONS:
        count = sum(parameter.numel() for parameter in network.backbone.parameters())
        assert count / 1e6 == pytest.approx(MILLIONS[name], rel=0.05)


@pytest.mark.slow
@recipes
@pytest.mark.long("ade20k_swin", "cityscapes_convnext")
def test_recipe_trains_its_backbone_cut_to_few_blocks(name, tmp_path, monkeypatch):
    tiny_timm.cut(monkeypatch)
    experiment = experiments.load(name)
    sliding = {"crop_size": (64, 64), "stride": (43, 43)} if experiment.evaluation.mode == "slide" else {}
    short_side = experiment.evaluation.short_side and 64
    at_once = {"warmup": 0, "warmup_ratio": None}  # a first step at the full rate
    weights = None
    if experiment.optimization.train == "head":  # a random backbone is refused
        weights = str(tmp_path / "backbone.safetensors")
        save_file(import_timm().create_model(experiment.model.backbone.removeprefix("timm:")).state_dict(), weights)
    small = replace(
        tiny.experiment(),
        name=name,
        data=replace(tiny.TINY.data, size=(64, 96), train_images=2, val_images=1),
        augmentation=replace(experiment.augmentation, crop_size=(64, 96), short_side=short_side),
        model=replace(experiment.model, pretrained=weights, head_options={"channels": 8}),
        optimization=replace(experiment.optimization, iterations=1, batch_size=2, precision="fp32", **at_once),
        evaluation=replace(experiment.evaluation, short_side=short_side, **sliding),
        validate_every=0,
    )
    record = train(small, tmp_path / "run", device="cpu")
    assert len(record.curve) == 1
    assert math.isfinite(record.curve[0].loss)
    before = build_model(small.model, 19, seed=small.seed).state_dict()
    after = load_model(tmp_path / "run").state_dict()
    moved = {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}
    assert moved == ({"head"} if experiment.optimization.train == "head" else {"backbone", "head", "auxiliary"})


@pytest.mark.parametrize("name", experiments.names())
def test_pretrained_weights_of_an_experiment_have_a_name_that_is_known(name):
    where = experiments.load(name).model.pretrained
    if where is None or where.startswith("runs/") or zoo.is_named(where):
        return
    source, _, network = where.partition(":")
    if source == "timm":
        weights = import_timm().list_pretrained()
        assert network in weights or any(each.partition(".")[0] == network for each in weights)
    else:
        assert where in PUBLISHED
