"""Labels with nothing to learn or to score, in training: said before the first step, and the trained network is kept."""

import os

import numpy as np
import pytest
from PIL import Image

from segattn import checkpoint, cli, config, records
from segattn.data.splits import open_data
from segattn.training import run as run_module
from segattn.training.train import train
from tests import tiny

pytestmark = pytest.mark.slow


def write_data(root, train_values=(0, 1), val_values=(0, 1), names="background\nthing"):
    """Two images a split, with a rectangle of the second value."""
    for split, values in (("train", train_values), ("val", val_values)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for index in range(2):
            mask = np.full((32, 48), values[0], np.uint8)
            mask[3:17, 5:29] = values[1]
            Image.fromarray(mask).save(root / "masks" / split / f"{index}.png")
            Image.new("RGB", (48, 32), (40 * index, 9, 9)).save(root / "images" / split / f"{index}.png")
    (root / "classes.txt").write_text(names)
    return root


def experiment(root, **changes):
    section = config.Data(name="folder", root=str(root))
    return tiny.experiment(data=section, evaluation={"examples": 1}, **changes)


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        ((0, 255), "background\nthing", r"one class to learn.*values=\{255: thing\}"),
        ((255, 255), "background\nthing", "no label to learn from"),
        ((0, 0), "background\nthing", "every labelled pixel of all labels .* is background"),
        ((0, 0), "thing", r"one class \(thing\).*name two: background first, then the object"),
    ],
)
def test_nothing_to_learn_is_refused_before_anything_is_written(values, names, message, tmp_path):
    root = write_data(tmp_path / "data", values, values, names)
    steps = []
    with pytest.raises(ValueError, match=message):
        train(experiment(root), tmp_path / "run", device="cpu", on_progress=steps.append)
    assert steps == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("values", [(255, 255), (0, 255)])
def test_nothing_to_score_is_said_first_and_the_network_is_kept(values, tmp_path):
    root = write_data(tmp_path / "data", val_values=values)
    said, steps = [], []

    def on_progress(progress):
        steps.append((progress.stage, progress.done, len(said)))

    for _ in range(2):  # the same command again finds the trained network's checkpoint, and ends in the same way
        with pytest.raises(ValueError, match=r"The trained network is in .*run, without scores"):
            train(experiment(root), tmp_path / "run", device="cpu", on_progress=on_progress, on_notice=said.append)
    assert steps == [
        ("train", done, 1) for done in range(1, 6)
    ]  # no evaluation, though one is due every two iterations
    assert "No scores are computed" in said[0]
    assert not (tmp_path / "run/record.json").exists()
    model = checkpoint.load_model(tmp_path / "run")
    assert model.class_names == ("background", "thing")


def test_same_run_with_labels_to_score_ends_with_the_same_network(tmp_path):
    root = write_data(tmp_path / "data", val_values=(255, 255))
    for name in ("without", "with"):
        try:
            average = {"optimization": {"ema_decay": 0.9}}
            train(experiment(root, **average), tmp_path / name, device="cpu", on_notice=lambda line: None)
        except ValueError:
            for index in range(2):
                Image.fromarray(np.eye(32, 48, dtype=np.uint8)).save(root / f"masks/val/{index}.png")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("without", "with")]
    assert weights[0] == weights[1]
    assert records.read(tmp_path / "with/record.json").iterations == 5


def test_network_is_kept_whatever_its_evaluation_raises(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(run_module, "evaluate", fail)
    with pytest.raises(RuntimeError, match="no memory left"):
        train(tiny.experiment(validate_every=0), tmp_path, device="cpu", on_notice=lambda line: None)
    assert not (tmp_path / "record.json").exists()
    assert checkpoint.load_model(tmp_path).num_classes == 19
    monkeypatch.undo()
    assert len(train(tiny.experiment(validate_every=0), tmp_path, device="cpu").curve) == 5


def test_notices_of_splits_that_are_open_already_are_said_too(tmp_path):
    root = write_data(tmp_path / "data", val_values=(0, 0))
    said = []
    train(
        experiment(root), tmp_path / "run", device="cpu", opened=open_data(experiment(root).data), on_notice=said.append
    )
    assert said == ["folder val: every labelled pixel is background; its score says nothing about the other classes."]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose files were written under a umask of 0o027, and its data."""
    folder = tmp_path_factory.mktemp("plain")
    root = write_data(folder / "data")
    before = os.umask(0o027)
    try:
        train(experiment(root, checkpoint_every=3), folder / "run", device="cpu", on_notice=lambda line: None)
    finally:
        os.umask(before)
    return folder / "run", root


def test_files_of_a_run_follow_the_umask(trained):
    run, _ = trained
    modes = {str(path.relative_to(run)): oct(path.stat().st_mode & 0o777) for path in run.rglob("*")}
    expected = {name: oct(0o750) if (run / name).is_dir() else oct(0o640) for name in modes}
    assert "model.safetensors" in modes
    assert modes == expected


def evaluate(run, root, *options):
    return cli.main(["evaluate", str(run), "--device", "cpu", "--data-root", str(root), *options])


def test_evaluation_matches_classes_by_name_and_says_so(trained, tmp_path, capsys):
    run, root = trained
    plain, swapped = tmp_path / "plain.json", tmp_path / "swapped.json"
    assert evaluate(run, root, "--out", str(plain)) == 0
    assert "matched by name" not in " ".join(capsys.readouterr().out.split())
    other = write_data(tmp_path / "other", (1, 0), (1, 0), "thing\nbackground")
    assert evaluate(run, other, "--out", str(swapped)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "another order of the classes: class 0 was background. Classes are matched by name" in shown
    scores = [records.read_json(path, what="readable") for path in (plain, swapped)]
    assert scores[1]["iou"] == scores[0]["iou"][::-1]
    assert scores[1]["mean_iou"] == pytest.approx(scores[0]["mean_iou"])


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        ((0, 1), "car\nroad", "background, thing (the model); car, road (folder)"),
        ((0, 1), "background\nthing\nother", "the model has 2 classes, folder has 3"),
        ((0, 255), "background\nthing", "folder val has one class to score"),
        ((255, 255), "background\nthing", "every pixel is ignored (label 255); there is nothing to score"),
        ((0, 0), "thing", "one class (thing)"),
    ],
)
def test_evaluation_refuses_what_it_cannot_score(trained, values, names, message, tmp_path, capsys):
    other = write_data(tmp_path / "other", values, values, names)
    assert evaluate(trained[0], other) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "mIoU" not in shown.out


def test_predictions_need_no_labels_to_score(trained, tmp_path, capsys):
    other = write_data(tmp_path / "other", val_values=(255, 255))
    assert evaluate(trained[0], other, "--write-predictions", str(tmp_path / "labels")) == 0
    assert "2 predictions, no labels to score" in " ".join(capsys.readouterr().out.split())
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["0.png", "1.png"]
