"""The paper's experiments: their values are the protocol's, and their docstrings say what a user must know."""

import importlib
from dataclasses import replace

import pytest

from segattn import config, data, experiments
from segattn.data.tools import make
from segattn.training.checks import check
from segattn.training.train import train

PAPER = {  # crop, weight decay, align_corners
    "cityscapes": (769, 5e-4, True),
    "ade20k": (520, 1e-4, True),
    "voc": (512, 5e-4, False),
    "coco_stuff": (512, 5e-4, False),
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
