import dataclasses
import json

import pytest

from segattn import config, experiments
from segattn.config import Evaluation
from segattn.training.checks import check
from tests import tiny


@pytest.mark.parametrize("name", experiments.names())
def test_experiment_survives_a_file(name, tmp_path):
    experiment = experiments.load(name)
    (tmp_path / "experiment.json").write_text(json.dumps(config.to_dict(experiment)))
    assert config.from_dict(json.loads((tmp_path / "experiment.json").read_text())) == experiment


@pytest.mark.parametrize("name", experiments.names())
def test_experiment_is_one_that_can_run(name):
    check(experiments.load(name))
    assert experiments.load(name).name == name


def test_dict_form_is_what_a_json_file_holds():
    raw = config.to_dict(tiny.experiment())
    assert json.loads(json.dumps(raw)) == raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"name": "x", "modle": {}}, "unknown field modle; did you mean model"),
        ({"name": "x", "optimization": {"learning_rate": 1}}, "unknown field optimization.learning_rate"),
        ({"name": "x", "data": {"sise": None}}, "unknown field data.sise; did you mean size"),
        ({"name": "x", "seed": "zero"}, r"Expected `int`, got `str` - at `\$\.seed`"),
        ({"name": "x", "augmentation": {"crop_size": [3, 4, 5]}}, r"length 2.*crop_size"),
        ({"name": "x", "model": {"mode": "fair"}}, "'fair'"),
        ({"seed": 1}, "missing required field `name`"),
        (["name"], "Expected `object`, got `array`"),
        (None, "Expected `object`, got `null`"),
        ({"name": "x", "optimization": {"lr": float("nan")}}, "optimization.lr is nan; give a finite number"),
        ({"name": "x", "augmentation": {"scale_range": [0.5, float("inf")]}}, r"augmentation\.scale_range\.1 is inf"),
        ({"name": "x", "model": {"head_options": {"a": [{"b": float("-inf")}]}}}, r"head_options\.a\.0\.b is -inf"),
        ({"name": "x", "seed": 10**30}, "seed is a whole number of more than 63 bits"),
    ],
)
def test_bad_file_is_refused_with_the_field(raw, message):
    with pytest.raises(ValueError, match=message):
        config.from_dict(raw)


def test_nested_settings_are_refused_in_one_line():
    options: list = []
    for _ in range(30):
        options = [options]
    with pytest.raises(ValueError, match=r"^model is nested deeper than 20 levels$"):
        config.from_dict({"name": "x", "model": {"head_options": {"a": options}}})


def test_number_that_json_cannot_hold_is_refused_and_not_written_as_null():
    with pytest.raises(ValueError, match=r"optimization\.lr is inf"):
        config.to_dict(tiny.experiment(optimization={"lr": float("inf")}))


def test_options_of_heads_are_free_in_a_file():
    raw = {"name": "x", "model": {"head_options": {"anything": [1, 2]}}}
    assert config.from_dict(raw).model.head_options == {"anything": [1, 2]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimization": {"iterations": 0}}, "optimization.iterations should be above 0, not 0"),
        ({"optimization": {"batch_size": -1}}, "optimization.batch_size should be above 0"),
        ({"optimization": {"lr": float("nan")}}, "optimization.lr is nan"),
        ({"optimization": {"class_weights": (1.0, float("inf"))}}, r"optimization\.class_weights\.1 is inf"),
        ({"augmentation": {"scale_range": (0.5, float("inf"))}}, r"augmentation\.scale_range\.1 is inf"),
        ({"optimization": {"lr": 0.0}}, "optimization.lr should be above 0"),
        ({"optimization": {"warmup": -1}}, "optimization.warmup should be 0 or more, not -1"),
        ({"optimization": {"momentum": -0.9}}, "optimization.momentum should be 0 or more"),
        ({"augmentation": {"crop_size": (0, 32)}}, "augmentation.crop_size should be above 0"),
        ({"augmentation": {"scale_range": (2.0, 0.5)}}, r"\(2.0, 0.5\) should be \(smallest, largest\)"),
        ({"augmentation": {"flip": 1.5}}, "flip=1.5 is a probability"),
        ({"evaluation": {"mode": "slide"}}, "needs evaluation.crop_size"),
        ({"evaluation": {"examples": -1}}, "evaluation.examples should be 0 or more"),
        ({"checkpoint_every": 0}, "checkpoint_every should be above 0"),
        ({"log_every": 0}, "log_every should be above 0"),
        ({"validate_every": -1}, "validate_every should be 0 or more"),
        ({"seed": -1}, "seed should be 0 or more"),
    ],
)
def test_value_that_no_run_could_use_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check(tiny.experiment(**changes))


def test_whole_image_is_the_default_and_sliding_steps_two_thirds():
    assert (Evaluation().mode, Evaluation().num_passes) == ("whole", 1)
    assert Evaluation(mode="slide", crop_size=(7, 769)).window == ((7, 769), (5, 513))
    assert Evaluation(mode="slide", crop_size=(7, 769), stride=(3, 500)).window == ((7, 769), (3, 500))


def test_crop_without_sliding_is_an_error():
    with pytest.raises(ValueError, match="mode='slide'"):
        Evaluation(crop_size=(5, 7))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"evaluation": {"mode": "slide"}}, "needs evaluation.crop_size"),
        ({"augmentation": {"max_class_share": 1.5}}, "max_class_share=1.5 is a share above 0, at most 1"),
    ],
)
def test_bad_value_in_a_file_is_named_in_one_line(section, message):
    with pytest.raises(ValueError, match=message) as refused:
        config.from_dict({"name": "x", **section})
    assert "\n" not in str(refused.value)


def test_with_head_changes_head_and_seed_only():
    before = tiny.experiment("fcn")
    after = config.with_head(before, "ccnet", seed=7)
    assert (after.model.head, after.seed) == ("ccnet", 7)
    assert dataclasses.replace(after, model=before.model, seed=before.seed) == before


def test_experiment_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.experiment().seed = 3


def test_unknown_experiment_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown experiment 'quik'; did you mean quick"):
        experiments.load("quik")


def test_experiment_by_dotted_path(tmp_path, monkeypatch):
    (tmp_path / "own_lab_experiments.py").write_text("")
    (tmp_path / "own_lab").mkdir()
    (tmp_path / "own_lab/night.py").write_text(
        '"""At night."""\nfrom segattn.config import Experiment\n\ndef experiment():\n    return Experiment(name="night")\n'
    )
    (tmp_path / "own_lab/empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert experiments.load("own_lab.night").name == "night"
    assert experiments.summary("own_lab.night") == "At night."
    with pytest.raises(ValueError, match="has no function experiment"):
        experiments.load("own_lab.empty")
    with pytest.raises(ValueError, match=r"there is no day\.py in .*; there are: empty, night"):
        experiments.load("own_lab.day")
