"""Commands compare images with those that a network was trained on, whichever way it was trained."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import segattn
from segattn import checkpoint, data
from segattn.cli import main
from segattn.data.tools import pack
from segattn.training.interruption import Interrupted
from segattn.training.train import train
from tests import tiny
from tests.training.test_distributed import ACCELERATE, LAUNCHER, environment

DARK = "outside the range of the training images"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """12-bit images in 16 bits, and two that were scaled to 16."""
    base, rng = tmp_path_factory.mktemp("range") / "my data", np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for index in range(count):
            label = (np.arange(48)[None] > 10 + 5 * index) * np.ones((32, 1), int)
            values = rng.integers(0, 2000, (32, 48)) + 2000 * label
            for part, pixels in (("images", values.astype(np.uint16)), ("masks", label.astype(np.uint8))):
                path = base / part / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    (base / "classes.txt").write_text("left\nright\n")
    photos = base / "new photos"
    photos.mkdir()
    shutil.copy(base / "images/val/0.png", photos / "good.png")
    Image.fromarray((np.asarray(Image.open(photos / "good.png")) // 16).astype(np.uint16)).save(photos / "dark.png")
    return base


def experiment(root, name="folder", **changes):
    options = {"value_range": [0, 4095]} if name == "folder" else {}
    section = {"name": name, "root": str(root), "options": options, "size": None, "train_images": None}
    changes.setdefault("optimization", {})["iterations"] = 2
    return tiny.experiment(
        data={**section, "val_images": None},
        evaluation={"examples": 0},
        validate_every=0,
        checkpoint_every=1,
        **changes,
    )


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "folder"
    train(experiment(root), out, device="cpu")
    return out


def images_of(run):
    return json.loads((run / "config.json").read_text())["images"]


def predict(run, photos, out, *options):
    return main(["predict", str(run), str(photos), "-o", str(out), "--device", "cpu", *options])


def test_config_has_the_range_of_all_training_images(run, root):
    dataset = data.load("folder", "train", root=root, value_range=4095)
    means = [sample.image[:, :, 0].mean() / 255 for sample in dataset]
    images = images_of(run)
    assert (images["count"], images["value_range"]) == (6, [0, 4095])
    assert images["means"][0]["low"] == pytest.approx(min(means), abs=1e-6)
    assert images["means"][0]["high"] == pytest.approx(max(means), abs=1e-6)
    assert checkpoint.load_model(run).image_range.count == 6


def test_predict_names_the_image_that_is_outside_once(run, root, tmp_path, capsys):
    assert predict(run, root / "new photos", tmp_path / "out", "--batch-size", "2") == 0
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("segattn: warning: 1 of 2 images lies " + DARK)
    assert "of dark.png is 0.0" in shown.err
    assert predict(run, root / "new photos/good.png", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""


def test_evaluate_says_it(run, root, capsys):
    main(["evaluate", str(run), "--device", "cpu"])
    assert DARK not in capsys.readouterr().out
    main(["evaluate", str(run), "--device", "cpu", "--data-options", "value_range=65535"])
    assert "2 of 2 images lie" in capsys.readouterr().out


@pytest.mark.long("torchrun")
@pytest.mark.parametrize("launcher", [LAUNCHER, ACCELERATE], ids=["torchrun", "accelerate"])
def test_two_processes_say_it_once_and_score_the_same(run, root, tmp_path, launcher):
    """Each process labels one of the two images; the range is that of both."""
    words = ["segattn", "evaluate", str(run), "--device", "cpu", "--data-options", "value_range=65535"]
    main([*words[1:], "--out", str(tmp_path / "one.json")])
    both = subprocess.run(
        [sys.executable, *launcher, "-m", *words, "--out", str(tmp_path / "two.json")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert both.returncode == 0, both.stderr
    shown = " ".join(f"{both.stdout} {both.stderr}".split())
    assert shown.count(DARK) == 1
    assert "2 of 2 images lie " + DARK in shown
    assert shown.count("pixel accuracy") == 1
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert two == one


def test_python_warns_once_a_call(run, root, recwarn):
    segattn.predict(run, root / "new photos/good.png", device="cpu")
    assert not recwarn.list
    with pytest.warns(UserWarning, match="^the image lies " + DARK) as warned:
        segattn.predict(run, root / "new photos/dark.png", device="cpu")
    assert len(warned) == 1
    assert warned[0].filename == __file__


def test_old_networks_say_nothing(run, root, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(run, old)
    raw = json.loads((old / "config.json").read_text())
    del raw["images"]
    (old / "config.json").write_text(json.dumps(raw))
    assert predict(old, root / "new photos", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""
    assert checkpoint.load_model(old).image_range is None


def test_a_damaged_range_is_an_error(run, root, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(run, old)
    raw = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps(raw | {"images": {"count": "many"}}))
    assert predict(old, root / "new photos", tmp_path / "out") == 2
    assert "/old/config.json: images is damaged" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"config\.json: images is damaged"):
        checkpoint.load_model(old)


def test_a_resumed_run_has_it_and_trains_the_same(run, root, tmp_path):
    def stop(progress):
        if progress.stage == "train" and progress.done == 1:
            raise Interrupted("here")

    with pytest.raises(Interrupted):
        train(experiment(root), tmp_path / "run", device="cpu", on_progress=stop)
    train(experiment(root), tmp_path / "run", device="cpu")
    assert images_of(tmp_path / "run") == images_of(run)
    assert (tmp_path / "run/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_packed_run_has_it_and_predict_reads_photos_in_its_range(run, root, tmp_path, capsys):
    list(pack.pack("folder", tmp_path / "packed", root=root, options={"value_range": 4095}))
    train(experiment(tmp_path / "packed", "packed"), tmp_path / "run", device="cpu")
    assert images_of(tmp_path / "run") == images_of(run)
    assert (tmp_path / "run/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    for network in (run, tmp_path / "run"):
        assert predict(network, root / "images/val", tmp_path / network.name, "--probabilities") == 0
    assert capsys.readouterr().err == ""
    for name in ("0", "1"):
        own, packed = (np.load(tmp_path / folder / f"{name}-probabilities.npz") for folder in ("folder", "run"))
        assert np.array_equal(own["probabilities"], packed["probabilities"])
    a, b = (
        segattn.predict(network, root / "images/val/0.png", device="cpu").image for network in (run, tmp_path / "run")
    )
    assert np.array_equal(a, b)


@pytest.mark.slow
def test_a_head_trained_on_stored_maps_has_it(run, root, tmp_path):
    weights = {"pretrained": str(run), "auxiliary_weight": 0.0}
    settings = experiment(root, model=weights, optimization={"train": "head"})
    from segattn.data.splits import open_data
    from segattn.training import features

    opened = open_data(settings.data)
    stored = features.compute(features.plan_features([settings], opened, tmp_path / "features", device="cpu"))
    train(settings, tmp_path / "run", device="cpu", opened=opened, stored=stored)
    assert images_of(tmp_path / "run") == images_of(run)
