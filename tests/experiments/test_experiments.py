"""The paper's experiments: their values are the protocol's, and their docstrings say what a user must know."""

import importlib
from dataclasses import replace

import pytest

from segattn import config, data, experiments
from segattn.data.tools import make
from segattn.training.checks import check
from segattn.training.train import train
from tests import tiny

PAPER = {  # crop, weight decay, align_corners
    "cityscapes": (769, 5e-4, True),
    "ade20k": (520, 1e-4, True),
    "voc": (512, 5e-4, False),
    "coco_stuff": (512, 5e-4, False),
}

PUBLISHED = {  # backbone, crop, iterations, rate, head's factor, decay, layer decay, warm-up, clipping
    "ade20k_swin": ("swin_tiny_patch4_window7_224", (512, 512), 160_000, 6e-5, 1.0, 0.01, 1.0, 1_500, 0.0),
    "ade20k_vit": ("vit_base_patch16_224", (512, 512), 160_000, 6e-5, 1.0, 0.01, 1.0, 1_500, 0.0),
    "ade20k_beit": ("beit_base_patch16_224", (640, 640), 160_000, 3e-5, 1.0, 0.05, 0.9, 1_500, 0.0),
    "ade20k_convnext": ("convnext_tiny", (512, 512), 160_000, 1e-4, 1.0, 0.05, 0.96, 1_500, 0.0),
    "ade20k_pvtv2": ("pvt_v2_b2", (512, 512), 80_000, 1e-4, 1.0, 1e-4, 1.0, 0, 0.0),
    "ade20k_dinov2": ("vit_small_patch14_dinov2", (518, 518), 40_000, 1e-3, 1.0, 1e-4, 1.0, 1_500, 0.0),
    "cityscapes_swin": ("swin_tiny_patch4_window7_224", (512, 1024), 90_000, 1e-5, 10.0, 0.05, 1.0, 0, 0.01),
    "cityscapes_convnext": ("convnext_tiny", (512, 1024), 90_000, 1e-4, 1.0, 0.05, 0.96, 1_500, 0.0),
}


@pytest.mark.parametrize("name", experiments.names())
def test_experiment_can_be_run_and_is_named_after_its_file(name):
    experiment = experiments.load(name)
    check(experiment)
    assert experiment.name == name
    assert config.from_dict(config.to_dict(experiment)) == experiment
    assert experiment.data.name in data.names()


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipe(name):
    experiment = experiments.load(name)
    crop, decay, align_corners = PAPER[name]
    optimization = experiment.optimization
    assert (optimization.iterations, optimization.batch_size, optimization.lr) == (80_000, 8, 1e-2)
    assert (optimization.poly_power, optimization.min_lr, optimization.momentum) == (0.9, 1e-4, 0.9)
    assert optimization.weight_decay == decay
    assert (experiment.model.backbone, experiment.model.output_stride) == ("resnet101", 8)
    assert (experiment.model.auxiliary_weight, experiment.model.align_corners) == (0.4, align_corners)
    augmentation = experiment.augmentation
    assert augmentation.crop_size == (crop, crop)
    assert (augmentation.scale_range, augmentation.flip, augmentation.photometric) == ((0.5, 2.0), 0.5, True)
    assert augmentation.max_class_share == 0.75
    assert augmentation.short_side == experiment.evaluation.short_side == (None if name == "cityscapes" else crop)


def test_cityscapes_is_evaluated_with_the_published_window():
    evaluation = experiments.load("cityscapes").evaluation
    assert (evaluation.mode, evaluation.crop_size, evaluation.stride) == ("slide", (769, 769), (513, 513))


@pytest.mark.parametrize("name", experiments.names())
def test_docstring_has_the_command_and_the_time(name):
    text = importlib.import_module(f"segattn.experiments.{name}").__doc__
    assert f"segattn train {name}" in text or f"segattn study {name}" in text
    assert any(word in text.lower() for word in ("hour", "minutes"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recipe_of_a_family(name):
    experiment = experiments.load(name)
    backbone, crop, iterations, lr, head, decay, layer_decay, warmup, clip = PUBLISHED[name]
    optimization = experiment.optimization
    assert experiment.model.backbone == experiment.model.pretrained == f"timm:{backbone}"
    assert experiment.augmentation.crop_size == crop
    assert experiment.augmentation.short_side == experiment.evaluation.short_side
    assert (optimization.optimizer, optimization.batch_size, optimization.iterations) == ("adamw", 16, iterations)
    assert (optimization.lr, optimization.min_lr, optimization.head_lr_factor) == (lr, 0.0, head)
    assert (optimization.weight_decay, optimization.layer_decay, optimization.clip_norm) == (decay, layer_decay, clip)
    assert (optimization.warmup, optimization.warmup_ratio) == (warmup, 1e-6 if warmup else None)
    assert optimization.train == ("head" if name == "ade20k_dinov2" else "all")


@pytest.mark.parametrize("name", PUBLISHED)
def test_docstring_names_the_source_and_the_differences(name):
    text = importlib.import_module(f"segattn.experiments.{name}").__doc__
    assert "Source: " in text
    assert "arXiv " in text or "https://github.com/" in text
    assert "Differences: " in text or name == "cityscapes_convnext"


def test_seeds_of_a_study():
    assert {name: experiments.seeds(name) for name in ("quick", "scratch", "cityscapes")} == {
        "quick": 3,
        "scratch": 1,
        "cityscapes": 1,
    }


@pytest.mark.parametrize("name", PAPER)
def test_docstring_has_the_launcher_and_the_source_of_published_figures(name):
    text = importlib.import_module(f"segattn.experiments.{name}").__doc__
    assert f"torchrun --nproc-per-node 4 -m segattn train {name}" in text
    assert "https://github.com/open-mmlab/mmsegmentation" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ade20k_beit", "cityscapes_swin"])
def test_recipe_of_a_family_trains_another_backbone(name, tmp_path):
    experiment = experiments.load(name)
    small = tiny.experiment(optimization=replace(experiment.optimization, iterations=2, batch_size=2, precision="fp32"))
    notices = []
    record = train(small, tmp_path, device="cpu", on_notice=notices.append)
    assert len(record.curve) == 2
    table = next(notice for notice in notices if notice.startswith("AdamW: "))
    assert ("backbone, layer 8" in table) == (experiment.optimization.layer_decay != 1)


@pytest.mark.long("ade20k")
@pytest.mark.parametrize("name", PAPER)
def test_recipe_runs_on_the_real_layout_at_a_tenth_of_its_size(name, tmp_path):
    root, size = tmp_path / "data", (64, 90)
    make.make(name, root, images=3, size=size)
    experiment = experiments.load(name)
    tenth = experiment.augmentation.crop_size[0] // 10
    short_side = experiment.evaluation.short_side and tenth
    sliding = {"crop_size": (76, 76), "stride": (51, 51)} if experiment.evaluation.mode == "slide" else {}
    small = replace(
        experiment,
        data=replace(experiment.data, root=str(root)),
        augmentation=replace(experiment.augmentation, crop_size=(tenth, tenth), short_side=short_side),
        model=replace(
            experiment.model,
            backbone="resnet18",
            pretrained=None,
            head_options={"channels": 8},
            backbone_options={"width": 8},
        ),
        optimization=replace(experiment.optimization, iterations=2, batch_size=2, ohem=True, class_balance="log"),
        evaluation=replace(experiment.evaluation, short_side=short_side, **sliding),
    )
    record = train(small, tmp_path / "run", device="cpu")
    labelled = sum(int((sample.label != 255).sum()) for sample in data.load(name, "val", root=str(root)))
    assert sum(map(sum, record.scores.confusion)) == labelled  # at the label's own size
    assert ("short side" in record.scores.inference) == (name != "cityscapes")
