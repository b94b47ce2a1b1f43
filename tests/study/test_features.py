"""Head-only studies: features stored once, or the heads of a seed side by side where they do not fit; the same networks."""

import dataclasses
import shutil

import pytest

from segattn import records
from segattn.data.splits import open_data
from segattn.study import features as module
from segattn.study.features import shared_features
from segattn.study.run import plan, run_study
from segattn.training import looks
from segattn.training.features import plan_features
from segattn.training.train import train
from tests import tiny

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_reference_costs")]

HEADS = ("fcn", "isanet")
SHORT = {"validate_every": 0, "evaluation": {"examples": 0, "strata": False, "without_attention": False}}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A head-only experiment on a trunk that was trained for two iterations."""
    trunk = tmp_path_factory.mktemp("trunk") / "fcn"
    controlled = {"mode": "controlled"}
    train(tiny.experiment(model=controlled, optimization={"iterations": 2}, **SHORT), trunk, device="cpu")
    model = {**controlled, "pretrained": str(trunk), "init_head": "trunk"}
    return tiny.experiment(model=model, optimization={"iterations": 2, "train": "head"}, **SHORT)


def study(config, out, heads=HEADS, seeds=(0,), **options):
    """Run it; the notices and positions that it reported."""
    notices, positions = [], []
    options = {"device": "cpu", "on_notice": notices.append, "on_position": positions.append, **options}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looks, "update", lambda previous, *rest, **options: previous)  # pictures take as long as two runs
        run_study(config, out, head_names=heads, seeds=seeds, **options)
    return notices, positions


def scores(out):
    """Scores of each run, by head and seed."""
    runs = [records.read(out / path) for path in records.read(out / "study.json").runs]
    return {(run.head, run.seed): run.scores for run in runs}


@pytest.fixture(scope="module")
def stored(config, tmp_path_factory):
    """Folder of the study with stored features, its notices and positions."""
    out = tmp_path_factory.mktemp("stored")
    return out, *study(config, out, seeds=(0, 1))


def test_features_are_computed_once_and_announced_with_their_size(stored):
    out, notices, positions = stored
    (folder,) = (out / "features").iterdir()
    size = "stage 4 64x4x6 in bf16: 0.1 MiB"
    assert notices[0] == (
        f"Features, computed once: 20 crops (4 of each image) and 3 validation images, {size} in {folder}"
    )
    assert len(notices) == 3  # and what each head starts from, once for all seeds
    progress = [position.progress for position in positions if position.name == "features"]
    assert [(each.done, each.total) for each in progress][:3] == [(1, 23), (2, 23), (3, 23)]
    assert progress[-1].done == 23


def test_side_by_side_gives_the_same_networks(config, stored, tmp_path):
    notices, positions = study(config, tmp_path, seeds=(0, 1), features_limit=1000)
    assert notices[0].startswith("Features would be 20 crops")
    assert "The limit is 0.0 MiB" in notices[0]
    assert "side by side" in notices[0]
    assert not (tmp_path / "features").exists()
    assert scores(tmp_path) == scores(stored[0])
    together = [position for position in positions if position.progress is not None]
    assert {(position.run, position.count) for position in together} == {(0, 2), (2, 2)}
    images = [position.progress.done for position in together if position.progress.stage == "evaluate"]
    assert images == sorted(images[: len(images) // 2]) * 2  # both heads of a seed, then those of the next one
    finished = [position.name for position in positions if position.progress is None]
    assert finished == [f"{head}-controlled-s{seed}" for seed in (0, 1) for head in HEADS]


def test_features_of_the_validation_split_are_stored_where_only_they_fit(config, stored, tmp_path):
    (folder,) = (stored[0] / "features").iterdir()
    of_val = (folder / "val-00000.bin").stat().st_size
    study(config, tmp_path, heads=("isanet",), features_limit=of_val)
    (kept,) = (tmp_path / "features").iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["index.json", "val-00000.bin"]
    assert scores(tmp_path) == {("isanet", 0): scores(stored[0])["isanet", 0]}


def test_stored_features_serve_another_study_and_nothing_is_computed(config, stored, tmp_path):
    notices, positions = study(config, tmp_path, heads=("fcn",), features=stored[0] / "features")
    assert notices[0].endswith(", stored already")
    assert not [position for position in positions if position.name == "features"]
    assert scores(tmp_path) == {("fcn", 0): scores(stored[0])["fcn", 0]}


def shared(config, root, **options):
    said = []
    runs, opened = plan(config, ("fcn",), (0,)), open_data(config.data)
    options = {"limit": 2**30, "device": "cpu", "on_progress": lambda progress: None, **options}
    return shared_features(runs, opened, root, on_notice=said.append, **options), said


def test_parts_that_are_there_need_no_free_space(config, stored, tmp_path, monkeypatch):
    root = shutil.copytree(stored[0] / "features", tmp_path / "features")
    (part,) = root.glob("*/train-*.bin")
    size = part.stat().st_size
    part.unlink()
    monkeypatch.setattr(module, "free_bytes", lambda folder: size)
    whole, _ = shared(config, root)
    assert whole.train is not None
    part.unlink()
    monkeypatch.setattr(module, "free_bytes", lambda folder: size - 1)
    rest, said = shared(config, root)
    assert (rest.train, rest.val is not None) == (None, True)
    assert "side by side" in said[0]


def test_evaluation_that_needs_images_stores_no_validation_features(config, tmp_path):
    flipped = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, flip=True))
    none, _ = shared(flipped, tmp_path, limit=1000)
    assert (none.train, none.val) == (None, None)
    assert not list(tmp_path.iterdir())  # not even an index


def test_missing_bytes_are_those_of_the_parts_that_are_not_whole(config, stored, tmp_path):
    root = shutil.copytree(stored[0] / "features", tmp_path / "features")
    runs, opened = plan(config, ("fcn",), (0,)), open_data(config.data)
    assert plan_features(runs, opened, root, device="cpu").missing_bytes == 0
    (part,) = root.glob("*/val-*.bin")
    size = part.stat().st_size
    part.write_bytes(part.read_bytes()[:-1])
    again = plan_features(runs, opened, root, device="cpu")
    assert (again.missing_bytes, again.is_complete) == (size, False)
