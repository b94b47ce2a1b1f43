"""Prediction files: read back by the data sets' own tools, they give our scores."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from segattn import checkpoint, data
from segattn.cli import main
from segattn.config import Augmentation
from segattn.data.cityscapes import CLASS_NAMES
from segattn.data.tools import make
from segattn.evaluation.official import PredictionFiles, predict_split
from tests import tiny

pytestmark = pytest.mark.slow

SIZE = (64, 96)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    for layout in ("cityscapes", "ade20k", "voc"):
        make.make(layout, folder / layout, images=12, size=SIZE)
    return folder


@pytest.fixture(scope="module")
def run(roots, tmp_path_factory):
    """A network for 19 classes that was hardly trained, on Cityscapes' layout."""
    out = tmp_path_factory.mktemp("run")
    config = tiny.experiment(
        data={"name": "cityscapes", "root": str(roots / "cityscapes"), "size": None, "train_images": None, "val_images": None},
        augmentation=vars(Augmentation(crop_size=(33, 33))),
        optimization={"iterations": 3},
        validate_every=0,
    )  # fmt: skip
    from segattn.training.train import train

    train(config, out, device="cpu")
    return out


OFFICIAL = """
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as evaluator
evaluator.args.evalInstLevelScore = False  # no instances in generated masks
evaluator.main()  # without arguments: it finds masks and predictions by itself
"""


@pytest.mark.parametrize(
    "inference", [[], ["--mode", "slide", "--crop", "48x48", "--flip", "--scales", "0.5", "1", "1.75"]]
)
def test_files_for_cityscapes_have_our_scores_by_its_own_evaluator(run, roots, inference, tmp_path):
    pytest.importorskip("cityscapesscripts")
    folder = tmp_path / "predictions"
    arguments = ["evaluate", str(run), "--device", "cpu", "--json", str(tmp_path / "scores.json"), *inference]
    assert main([*arguments, "--write-predictions", str(folder)]) == 0
    ours = json.loads((tmp_path / "scores.json").read_text())
    assert len(list(folder.iterdir())) == ours["num_images"] == 3
    environment = {
        **os.environ,
        "CITYSCAPES_RESULTS": str(folder),
        "CITYSCAPES_DATASET": str(roots / "cityscapes"),
        "CITYSCAPES_EXPORT_DIR": str(tmp_path),
    }
    done = subprocess.run([sys.executable, "-c", OFFICIAL], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "resultPixelLevelSemanticLabeling.json").read_text())
    assert np.sum(report["confMatrix"]) == 3 * SIZE[0] * SIZE[1]  # all three pairs
    assert {name for name, iou in report["classScores"].items() if not np.isnan(iou)} <= set(CLASS_NAMES)
    for name, iou in zip(CLASS_NAMES, ours["iou"], strict=True):
        assert report["classScores"][name] == pytest.approx(np.nan if iou is None else iou, abs=1e-9, nan_ok=True), name
    assert report["averageScoreClasses"] == pytest.approx(ours["mean_iou"], abs=1e-9)


@pytest.mark.parametrize(("name", "first"), [("cityscapes", 7), ("ade20k", 1), ("voc", 0)])
def test_values_names_and_sizes_of_the_test_split(name, first, roots, tmp_path):
    dataset = data.load(name, "test", root=str(roots / name))
    files = PredictionFiles(dataset, tmp_path)
    for index in range(len(dataset)):
        files(index, torch.zeros(SIZE, dtype=torch.uint8))
    assert len(list(tmp_path.iterdir())) == len(dataset) == 3
    for path in tmp_path.iterdir():
        stored = np.asarray(Image.open(path))
        assert stored.shape == SIZE
        assert stored.dtype == np.uint8
        assert (stored == first).all()
    images = {path.stem.removesuffix("_leftImg8bit") for path in (roots / name).rglob("*.*g") if "gt" not in path.name}
    assert {path.stem.removesuffix("_pred") for path in tmp_path.iterdir()} <= images


def test_last_class_of_each_format(roots, tmp_path):
    for name, last in [("cityscapes", 33), ("ade20k", 150), ("voc", 20)]:
        dataset = data.load(name, "val", root=str(roots / name))
        files = PredictionFiles(dataset, tmp_path / name)
        files(0, torch.full(SIZE, dataset.num_classes - 1))
        assert (np.asarray(Image.open(files.path(0))) == last).all()


def test_test_split_is_predicted_without_scores(run, tmp_path, capsys):
    folder = tmp_path / "new"
    arguments = ["evaluate", str(run), "--device", "cpu", "--split", "test", "--write-predictions", str(folder)]
    assert main(arguments) == 0
    assert "3 predictions, no labels to score" in " ".join(capsys.readouterr().out.split())
    assert len(list(folder.iterdir())) == 3
    assert main(arguments) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "other"), "--json", str(tmp_path / "x.json")]) == 2


def test_network_of_other_classes_is_refused(run, roots):
    model = checkpoint.load_model(run)
    with pytest.raises(ValueError, match="19 classes, voc has 21"):
        predict_split(model, data.load("voc", "test", root=str(roots / "voc")), lambda index, prediction: None)


def test_other_data_sets_get_class_indices_with_a_palette(tmp_path):
    dataset = data.load("streets", "val", height=32, width=64, num_images=1)
    files = PredictionFiles(dataset, tmp_path)
    files(0, torch.from_numpy(np.arange(32 * 64).reshape(32, 64) % dataset.num_classes))
    picture = Image.open(files.path(0))
    assert np.asarray(picture)[0, :5].tolist() == [0, 1, 2, 3, 4]
    assert tuple(picture.convert("RGB").getpixel((3, 0))) == tuple(dataset.palette[3])


def test_predictions_of_a_network_with_another_order_of_classes_are_mapped_by_name(run):
    model = checkpoint.load_model(run)
    dataset = data.load("streets", "val", height=32, width=64, num_images=1)
    expected, swapped = {}, {}
    predict_split(model, dataset, lambda index, prediction: expected.update({index: prediction}))
    model.class_names = tuple(reversed(model.class_names))
    predict_split(model, dataset, lambda index, prediction: swapped.update({index: prediction}))
    assert torch.equal(swapped[0], model.num_classes - 1 - expected[0])
    model.class_names = ("dragon", *model.class_names[1:])
    with pytest.raises(ValueError, match="dragon"):
        predict_split(model, dataset, lambda index, prediction: None)
