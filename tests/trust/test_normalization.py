"""Mean, standard deviation and channel order that a network declares are used wherever an image enters it."""

import ast
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segattn
from segattn import cli, config, data
from segattn.config import Augmentation
from segattn.data.loader import EvaluationStream, TrainingStream
from segattn.data.transforms import IMAGENET, Normalization, augment, to_image, to_tensor
from segattn.demo.explorer import Explorer
from segattn.demo.networks import Network
from segattn.demo.pictures import Picture
from segattn.evaluation.evaluate import evaluate
from segattn.evaluation.official import predict_split
from segattn.inference import files
from segattn.maps.look import look
from segattn.model import build_model
from segattn.training.train import train
from tests import tiny

PACKAGE = Path(segattn.__file__).parent
OTHER = {"mean": (0.1, 0.3, 0.8), "std": (1.0, 0.5, 0.25), "channel_order": "bgr"}
DECLARED = Normalization(**OTHER)


def by_hand(image):
    """The input from its definition, a pixel at a time in float64."""
    values = (image.astype(np.float64) / 255 - OTHER["mean"]) / OTHER["std"]
    return torch.from_numpy(values[:, :, ::-1].copy()).permute(2, 0, 1).float()


SCENES = data.load("streets", "val", height=32, width=48, num_images=2)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    options = {"backbone": "resnet18", "backbone_options": {"width": 8}, "head_options": {"channels": 16}}
    return segattn.create_model("ccnet", num_classes=19, **options, **OTHER).eval()


def labels(model, image):
    with torch.no_grad():
        return model(by_hand(image)[None]).argmax(1)[0].numpy()


def test_input_is_as_defined_and_undone():
    image = SCENES[0].image
    torch.testing.assert_close(to_tensor(image, DECLARED), by_hand(image), rtol=1e-5, atol=1e-5)
    assert np.array_equal(to_image(to_tensor(image, DECLARED), DECLARED), image)
    assert not torch.allclose(to_tensor(image), by_hand(image))


def test_training_takes_it_with_its_mean_as_padding():
    crop = Augmentation(crop_size=(48, 64), photometric=False, scale_range=(1, 1))
    network = config.Model(**OTHER)
    batch = next(TrainingStream(SCENES, crop, batch_size=1, seed=3, network=network).batches())
    index = batch["indices"][0]
    expected, _ = augment(SCENES[index], np.random.default_rng((3, 0)), crop, (26, 76, 204))
    torch.testing.assert_close(batch["image"][0], by_hand(expected), rtol=1e-5, atol=1e-5)
    assert batch["image"][0][:, -1, -1].abs().max() < 0.01


def test_evaluation_predictions_and_split_use_it(model):
    expected = [labels(model, SCENES[index].image) for index in range(2)]
    seen = {}
    evaluate(model, SCENES, on_prediction=lambda index, prediction: seen.update({index: prediction.numpy()}))
    assert all(np.mean(seen[index] != expected[index]) < 0.01 for index in range(2))
    predict_split(model, SCENES, lambda index, prediction: seen.update({index: prediction.numpy()}))
    assert all(np.mean(seen[index] != expected[index]) < 0.01 for index in range(2))
    batch = next(iter(EvaluationStream(SCENES, network=model)))
    torch.testing.assert_close(batch["image"][0], by_hand(SCENES[0].image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("optimized", [False, True])
def test_photos_and_frames_use_it(model, optimized):
    network = segattn.optimize(model) if optimized else model
    (result,) = files.label_images(network, [SCENES[0].image])
    assert np.mean(result.label != labels(model, SCENES[0].image)) < 0.01


def test_maps_and_explorer_use_it(model, monkeypatch):
    expected = labels(model, SCENES[0].image)
    seen = look(model, SCENES[0].image)
    assert np.mean(seen.prediction != expected) < 0.01
    assert np.array_equal(seen.image, SCENES[0].image)
    monkeypatch.setattr(Network, "cost", lambda network, size: None)  # needs the experiment of a loaded network
    explorer, picture = Explorer([Network("one", model)]), Picture("a", SCENES[0].image)
    assert list(explorer.prepare(picture, ["one"])) == ["one"]
    explored = explorer.looks.get((picture.key, "one"), lambda: None)
    assert np.mean(explored.prediction != expected) < 0.01


def test_run_declares_it_and_an_older_file_reads_as_imagenet(tmp_path):
    experiment = tiny.experiment(optimization={"iterations": 1}, evaluation={"examples": 0})
    experiment = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, **OTHER))
    train(experiment, tmp_path / "run", device="cpu", on_notice=lambda line: None)
    assert Normalization.of(segattn.load_model(tmp_path / "run")) == DECLARED
    raw = json.loads((tmp_path / "run/config.json").read_text())
    for name in OTHER:
        del raw["experiment"]["model"][name]
    (tmp_path / "run/config.json").write_text(json.dumps(raw))
    assert Normalization.of(segattn.load_model(tmp_path / "run")) == IMAGENET


def test_starting_from_another_input_is_refused_by_name(tmp_path):
    experiment = tiny.experiment(optimization={"iterations": 1}, evaluation={"examples": 0})
    experiment = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, **OTHER))
    train(experiment, tmp_path / "run", device="cpu", on_notice=lambda line: None)
    started = dataclasses.replace(experiment.model, pretrained=str(tmp_path / "run"))
    build_model(started, 19)
    with pytest.raises(ValueError, match=r"channel_order bgr, this one with rgb; set model\.channel_order"):
        build_model(dataclasses.replace(started, channel_order="rgb"), 19)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"mean": (0.5,)}, "model.mean"), ({"std": (1, 0, 1)}, "model.std"), ({"channel_order": "gbr"}, "'rgb' or 'bgr'")],
)
def test_impossible_input_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Normalization.of(config.Model(**fields))


def test_range_of_the_training_data_is_used_for_photos(tmp_path):
    """A network trained on 12-bit values in 16-bit files labels such photos in the same range."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 64)).astype(np.uint16)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / "set" / kind / split).mkdir(parents=True)
        for number in range(2):
            Image.fromarray((pixels[number] + (split == "val")) * 16).save(
                tmp_path / f"set/images/{split}/{number}.png"
            )
            mask = (pixels[number] > 99).astype(np.uint8)
            Image.fromarray(mask).save(tmp_path / f"set/masks/{split}/{number}.png")
    (tmp_path / "set/classes.txt").write_text("dark\nbright\n")
    section = {"name": "folder", "root": str(tmp_path / "set"), "options": {"value_range": 4095}, "size": None,
               "train_images": None, "val_images": None}  # fmt: skip
    experiment = tiny.experiment(optimization={"iterations": 1}, evaluation={"examples": 0})
    experiment = dataclasses.replace(experiment, data=config.Data(**section))
    train(experiment, tmp_path / "run", device="cpu", on_notice=lambda line: None)
    for name, values in (("deep", pixels[2] * 16), ("usual", pixels[2].astype(np.uint8))):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
        command = ["predict", str(tmp_path / "run"), str(tmp_path / f"{name}.png"), "-o", str(tmp_path / "out")]
        assert cli.main(command) == 0
    deep, usual = (np.asarray(Image.open(tmp_path / f"out/{name}-label.png")) for name in ("deep", "usual"))
    assert np.array_equal(deep, usual)


def test_no_place_in_the_package_falls_back_to_imagenet():
    calls = [
        (path, node)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("to_tensor", "to_image")
    ]
    assert len(calls) >= 6
    for path, node in calls:
        assert len(node.args) == 2, f"{path}, line {node.lineno}"
