"""Networks for other images than RGB, through every command that opens one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segattn import checkpoint, config, records
from segattn.cli import main
from segattn.inference.files import label_images
from segattn.training.interruption import Interrupted
from tests import tiny

tifffile = pytest.importorskip("tifffile")
SIZE = (32, 48)
KINDS = {
    "grey 16 bits": (1, {"bands": 1}, "png"),
    "rgb and infrared": (4, {"bands": 4}, "png"),
    "six bands": (6, {"bands": 6, "value_range": [0, 4095]}, "tif"),
    "chosen bands": (2, {"bands": [6, 1], "value_range": [0, 4095]}, "npy"),
}


def write(kind: str, path: Path, rng: np.random.Generator, label: np.ndarray) -> None:
    """An image of this kind, whose first band follows the label."""
    stored = {"grey 16 bits": 1, "rgb and infrared": 4}.get(kind, 6)
    values = rng.integers(0, 1000, (*SIZE, stored)) + 2000 * label[:, :, None]
    if kind == "grey 16 bits":
        Image.fromarray((values[:, :, 0] * 16).astype(np.uint16)).save(path)
    elif kind == "rgb and infrared":
        Image.fromarray((values // 16).astype(np.uint8)).save(path)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, values.astype(np.uint16), photometric="minisblack", planarconfig="contig")
    else:
        np.save(path, values.astype(np.uint16))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(kind, tmp_path):
    """A folder of images of this kind with their masks."""
    rng, base = np.random.default_rng(0), tmp_path / "my data"
    for split, count in (("train", 3), ("val", 2)):
        for part in ("images", "masks"):
            (base / part / split).mkdir(parents=True)
        for index in range(count):
            label = (np.arange(SIZE[1])[None] > 10 + 5 * index) * np.ones((SIZE[0], 1), int)
            write(kind, base / f"images/{split}/{index}.{KINDS[kind][2]}", rng, label)
            Image.fromarray(label.astype(np.uint8)).save(base / f"masks/{split}/{index}.png")
    (base / "classes.txt").write_text("left\nright\n")
    return base


def experiment(kind, root, tmp_path, **changes):
    """The file of a tiny experiment on these images."""
    bands, options, _ = KINDS[kind]
    section = config.Data(name="folder", root=str(root), options=options)
    short = {"iterations": 2, "batch_size": 2}
    settings = tiny.experiment("ccnet", data=section, optimization=short, validate_every=1, checkpoint_every=1)
    settings = json.loads(json.dumps(config.to_dict(settings)))
    settings["evaluation"]["examples"] = 1
    settings["model"] |= {"in_channels": bands, **changes}
    path = tmp_path / "bands.json"
    path.write_text(json.dumps(settings))
    return path


def test_every_command_takes_them(kind, root, tmp_path, capsys):
    bands, options, ending = KINDS[kind]
    run, photo = tmp_path / "the run", next((root / "images/val").iterdir())
    assert main(["train", str(experiment(kind, root, tmp_path)), "-o", str(run), "--device", "cpu"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    word = "band" if bands == 1 else "bands"
    assert f"No model.mean and model.std are given for {bands} {word}:" in shown
    model = checkpoint.load_model(run)
    assert model.in_channels == bands
    assert model(torch.zeros(1, bands, 33, 49)).shape == (1, 2, 33, 49)
    record = records.read(run / "record.json")
    assert record.config["data"]["options"] == options
    with Image.open(run / record.examples[0].image) as picture:
        assert (picture.mode, picture.size) == ("RGB", SIZE[::-1])

    main(["evaluate", str(run), "--device", "cpu"])
    assert f"{100 * record.scores.mean_iou:.2f}" in capsys.readouterr().out
    assert main(["predict", str(run), str(root / "images/val"), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert "2 images labelled" in capsys.readouterr().out
    assert (tmp_path / "out/0-overlay.png").is_file()
    figure = tmp_path / "maps.png"
    main(["maps", str(run), "--image", str(photo), "--pixel", "20,10", "-o", str(figure), "--device", "cpu"])
    assert figure.stat().st_size > 1000

    main(["convert", "to-mmseg", str(run), "-o", str(tmp_path / "there.pth")])
    main(["convert", "mmseg", str(tmp_path / "there.pth"), "-o", str(tmp_path / "back")])
    back = checkpoint.load_model(tmp_path / "back")
    assert (back.in_channels, back.experiment.model.in_channels) == (bands, bands)
    image = torch.randn(1, bands, 33, 49)
    assert torch.equal(back(image), model(image))
    assert back.mean == pytest.approx([0.5] * bands)


@pytest.mark.parametrize("kind", ["six bands"])
def test_photos_of_other_bands_are_named_with_both_numbers(kind, root, tmp_path, capsys):
    run, rgb = tmp_path / "run", tmp_path / "photo.png"
    main(["train", str(experiment(kind, root, tmp_path)), "-o", str(run), "--device", "cpu"])
    Image.new("RGB", (50, 40)).save(rgb)
    capsys.readouterr()
    assert main(["predict", str(run), str(rgb), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 1
    assert "it has 3 bands, and bands=6 expects 6" in capsys.readouterr().err
    model = checkpoint.load_model(run)
    with pytest.raises(ValueError, match="the image has 3 bands, and the network takes 6"):
        label_images(model, [np.zeros((40, 50, 3), np.uint8)])


@pytest.mark.parametrize("kind", ["rgb and infrared"])
def test_a_network_of_other_bands_is_refused_before_training(kind, root, tmp_path, capsys):
    path = experiment(kind, root, tmp_path, in_channels=3)
    assert main(["train", str(path), "-o", str(tmp_path / "run"), "--device", "cpu"]) != 0
    message = capsys.readouterr().err
    assert "image 0 of folder train has 4 bands, and the network takes 3; set model.in_channels to 4" in message
    path = experiment(kind, root, tmp_path, mean=[0.5, 0.5, 0.4])
    assert main(["train", str(path), "-o", str(tmp_path / "run"), "--device", "cpu"]) != 0
    message = capsys.readouterr().err
    assert "model.mean is (0.5, 0.5, 0.4); give 4 numbers, of the 4 bands from 0 to 1" in message
    assert "segattn data statistics" in message


@pytest.mark.parametrize("kind", ["six bands"])
def test_a_run_on_bands_continues_exactly(kind, root, tmp_path, monkeypatch):
    path, whole, parts = experiment(kind, root, tmp_path), tmp_path / "whole", tmp_path / "parts"
    main(["train", str(path), "-o", str(whole), "--device", "cpu"])
    from segattn.training import train

    with monkeypatch.context() as patched:
        advance = train.Training.advance

        def once(self, iteration, batch):
            if iteration == 1:
                raise Interrupted("stopped after the first iteration")
            advance(self, iteration, batch)

        patched.setattr(train.Training, "advance", once)
        assert main(["train", str(path), "-o", str(parts), "--device", "cpu"]) == 130
    assert main(["train", str(path), "-o", str(parts), "--device", "cpu"]) == 0
    first, second = (checkpoint.load_model(run).state_dict() for run in (whole, parts))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_statistics_are_those_of_the_training_images(kind, root, capsys):
    from segattn import data

    bands, options, _ = KINDS[kind]
    words = [f"{name}={json.dumps(value).replace(' ', '')}" for name, value in options.items()]
    joined = ",".join(words)
    command = ["data", "statistics", "folder", "--data-root", str(root), "--data-options", joined]
    assert main(command) in (0, None)
    shown = capsys.readouterr().out
    train = data.load("folder", "train", root=root, **options)
    pixels = np.concatenate([sample.image.reshape(-1, bands) for sample in train]) / 255
    mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (pixels.mean(0), pixels.std(0)))
    assert f"--model.in-channels {bands} --model.mean {mean} --model.std {std}" in shown
    assert "3 images of folder train, 4,608 pixels" in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 80


@pytest.mark.parametrize("kind", ["six bands"])
def test_files_of_different_bands_are_named(kind, root, tmp_path, capsys):
    odd = root / "images/train/1.tif"
    tifffile.imwrite(odd, np.ones((*SIZE, 7), np.uint16), photometric="minisblack", planarconfig="contig")
    options = "bands=[1,2],value_range=4095"
    assert main(["data", "check", "folder", "--data-root", str(root), "--data-options", options]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "FAULT images of different bands" in shown
    assert f"{root}/images/train/0.tif has 6; {odd} has 7" in shown
    path = experiment(kind, root, tmp_path)
    settings = json.loads(path.read_text())
    settings["data"]["options"]["bands"] = [1, 2]
    settings["model"]["in_channels"] = 2
    path.write_text(json.dumps(settings))
    assert main(["train", str(path), "-o", str(tmp_path / "run"), "--device", "cpu"]) != 0
    assert f"{odd} has 7; save all images" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["chosen bands"])
def test_packed_bands_are_the_same(kind, root, tmp_path):
    from segattn import data

    _, options, _ = KINDS[kind]
    out = tmp_path / "packed"
    words = "bands=[6,1],value_range=[0,4095]"
    assert main(["data", "pack", "folder", "-o", str(out), "--data-root", str(root), "--data-options", words]) == 0
    shutil.copytree(out, tmp_path / "moved")
    packed, whole = (
        data.load("packed", "train", root=tmp_path / "moved"),
        data.load("folder", "train", root=root, **options),
    )
    for one, other in zip(packed, whole, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.label, other.label)


@pytest.mark.parametrize("bands", [1, 4])
def test_costs_differ_from_rgb_by_the_first_convolution(bands, capsys):
    figures = {}
    for number in (3, bands):
        main(["flops", "--heads", "fcn", "--input", "65x65", "--format", "json", "--in-channels", str(number)])
        figures[number] = json.loads(capsys.readouterr().out)[0]["network"]["macs"]
    first = 32 * 9 * 33 * 33  # of one band: the deep stem's 3x3 convolution to 32 channels at 33x33 positions
    assert figures[bands] - figures[3] == (bands - 3) * first
    memory = {}
    for number in (3, bands):
        network = ["--heads", "fcn", "--backbone", "resnet18", "--input", "65x65", "--in-channels", str(number)]
        main(["plan", *network, "--inference", "--format", "json"])
        memory[number] = capsys.readouterr().out
    assert memory[bands] != memory[3]
