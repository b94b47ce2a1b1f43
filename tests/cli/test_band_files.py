"""Images whose bands lie in files of their own, through every command that opens one."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import segattn
from segattn import checkpoint, config, data, records
from segattn.cli import main
from tests import tiny

tifffile = pytest.importorskip("tifffile")
SIZE = (32, 48)
OPTIONS = {"bands": ["_B04.tif", "_B08.tif", "_rgb.png"], "value_range": [0, 4095]}
WORDS = "bands=[_B04.tif,_B08.tif,_rgb.png],value_range=[0,4095]"


@pytest.fixture
def root(tmp_path):
    """A folder of images whose two 16-bit bands and 8-bit picture are three files each, with their masks."""
    rng, base = np.random.default_rng(0), tmp_path / "my data"
    for split, count in (("train", 4), ("val", 2)):
        for part in ("images", "masks"):
            (base / part / split).mkdir(parents=True)
        for index in range(count):
            label = (np.arange(SIZE[1])[None] > 10 + 5 * index) * np.ones((SIZE[0], 1), int)
            start = base / f"images/{split}/scene {index}"
            for band in ("B04", "B08"):
                values = rng.integers(0, 1000, SIZE) + 2000 * label
                tifffile.imwrite(f"{start}_{band}.tif", values.astype(np.uint16))
            Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(f"{start}_rgb.png")
            Image.fromarray(label.astype(np.uint8)).save(base / f"masks/{split}/scene {index}.png")
    (base / "classes.txt").write_text("left\nright\n")
    return base


def experiment(root, tmp_path):
    section = config.Data(name="folder", root=str(root), options=OPTIONS)
    short = {"iterations": 2, "batch_size": 2}
    settings = tiny.experiment(
        "ccnet",
        data=section,
        optimization=short,
        model={"in_channels": 5},
        evaluation={"examples": 1},
        validate_every=1,
    )
    path = tmp_path / "bands.json"
    path.write_text(json.dumps(config.to_dict(settings)))
    return path


def stacked(root, split, index):
    """The image as it should be read, worked out from its files."""
    start = root / f"images/{split}/scene {index}"
    deep = [tifffile.imread(f"{start}_{band}.tif").astype(int) * 256 // 4096 for band in ("B04", "B08")]
    return np.dstack([*deep, np.asarray(Image.open(f"{start}_rgb.png"))]).astype(np.uint8)


@pytest.mark.slow
def test_every_command_takes_them(root, tmp_path, capsys):
    run, photos = tmp_path / "the run", root / "images/val"
    assert main(["train", str(experiment(root, tmp_path)), "-o", str(run), "--device", "cpu"]) == 0
    images = json.loads((run / "config.json").read_text())["images"]
    assert (images["bands"], len(images["means"])) == (OPTIONS["bands"], 5)
    record = records.read(run / "record.json")
    capsys.readouterr()
    main(["evaluate", str(run), "--device", "cpu"])
    assert f"{100 * record.scores.mean_iou:.2f}" in capsys.readouterr().out

    assert main(["predict", str(run), str(photos), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert "2 images labelled" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"scene {index}-{kind}.png" for index in (0, 1) for kind in ("label", "overlay")
    ]
    for name in ("scene 1_rgb.png", "scene 1_B04.tif"):  # any file of the image stands for it
        prediction = segattn.predict(run, photos / name, device="cpu")
        assert np.array_equal(prediction.image, stacked(root, "val", 1))
        with Image.open(tmp_path / "out/scene 1-label.png") as written:
            assert np.array_equal(prediction.labels, np.asarray(written))
    files = [str(photos / f"scene 0_{band}") for band in ("rgb.png", "B08.tif", "B04.tif")]
    assert main(["predict", str(run), *files, "-o", str(tmp_path / "one"), "--device", "cpu"]) == 0
    assert "1 image labelled" in capsys.readouterr().out
    figure = tmp_path / "maps.png"
    main(["maps", str(run), "--image", files[0], "--pixel", "20,10", "-o", str(figure), "--device", "cpu"])
    assert figure.stat().st_size > 1000

    shutil.copytree(photos, tmp_path / "part")
    (tmp_path / "part/scene 1_B08.tif").unlink()
    assert main(["predict", str(run), str(tmp_path / "part"), "-o", str(tmp_path / "no"), "--device", "cpu"]) == 2
    assert "no band _B08.tif for 1 of 2 images: scene 1; add the files" in capsys.readouterr().err
    single = [str(tmp_path / "part/scene 1_B04.tif"), "-o", str(tmp_path / "no"), "--device", "cpu"]
    assert main(["predict", str(run), *single]) == 2
    assert "scene 1_B04.tif: no band " in capsys.readouterr().err
    other = tmp_path / "other.png"
    Image.new("RGB", (50, 40)).save(other)
    assert main(["predict", str(run), str(other), "-o", str(tmp_path / "no"), "--device", "cpu"]) == 2
    assert "other.png: none of the bands _B04.tif, _B08.tif, _rgb.png" in capsys.readouterr().err


def test_statistics_and_sheet_are_of_all_bands(root, tmp_path, capsys):
    where = ["--data-root", str(root), "--data-options", WORDS]
    assert main(["data", "statistics", "folder", *where]) == 0
    pixels = np.concatenate([stacked(root, "train", index).reshape(-1, 5) for index in range(4)]) / 255
    mean = " ".join(f"{value:.4g}" for value in pixels.mean(0))
    assert f"--model.in-channels 5 --model.mean {mean} --model.std" in capsys.readouterr().out
    sheet = tmp_path / "sheet.png"
    assert main(["data", "show", "folder", *where, "-o", str(sheet)]) == 0
    assert sheet.stat().st_size > 1000


def test_check_counts_what_is_missing_and_what_differs_in_size(root, capsys):
    check = ["data", "check", "folder", "--data-root", str(root), "--data-options", WORDS]
    assert main(check) == 0
    capsys.readouterr()
    for index in (1, 3):
        (root / f"images/train/scene {index}_B08.tif").unlink()
    tifffile.imwrite(root / "images/train/scene 0_B08.tif", np.ones((16, 24), np.uint16))
    assert main(check) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "no band _B08.tif for 2 of 4 images: scene 1, scene 3; add the files, or remove those of the other bands"
        in shown
    )
    assert "FAULT bands of different sizes: 1" in shown
    first = root / "images/train/scene 0_B04.tif"
    assert (
        f"{first} is 48x32, and {root}/images/train/scene 0_B08.tif of the same image is 24x16; resample them" in shown
    )


def test_packed_bands_are_the_same_and_predict_takes_the_files(root, tmp_path):
    out = tmp_path / "packed"
    assert main(["data", "pack", "folder", "-o", str(out), "--data-root", str(root), "--data-options", WORDS]) == 0
    packed, whole = data.load("packed", "val", root=out), data.load("folder", "val", root=root, **OPTIONS)
    assert len(packed) == len(whole) == 2
    for sample, other, index in zip(packed, whole, range(2), strict=True):
        assert np.array_equal(sample.image, other.image)
        assert np.array_equal(sample.image, stacked(root, "val", index))
    path = experiment(root, tmp_path)
    settings = json.loads(path.read_text())
    settings["data"] |= {"name": "packed", "root": str(out), "options": {}}
    path.write_text(json.dumps(settings))
    assert main(["train", str(path), "-o", str(tmp_path / "run"), "--device", "cpu"]) == 0
    photo = root / "images/val/scene 1_B04.tif"
    network = checkpoint.load_model(tmp_path / "run")
    assert np.array_equal(segattn.predict(network, photo).image, stacked(root, "val", 1))


def test_a_changed_band_changes_the_data(root):
    before = data.load("folder", "train", root=root, **OPTIONS)
    stored, digest = before.stored(0), before.digest(0, before[0])
    tifffile.imwrite(root / "images/train/scene 0_B08.tif", np.ones((40, 60), np.uint16))
    assert before.stored(0) != stored
    tifffile.imwrite(root / "images/train/scene 0_B08.tif", np.ones(SIZE, np.uint16))
    assert before.digest(0, before[0]) != digest


@pytest.mark.slow
def test_bands_of_two_resolutions_enter_in_the_size_of_the_larger(root, tmp_path, capsys):
    for path in root.glob("images/*/*_B08.tif"):
        tifffile.imwrite(path, tifffile.imread(path)[::2, ::2])
    where = ["--data-root", str(root), "--data-options", WORDS]
    assert main(["data", "check", "folder", *where]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "FAULT bands of different sizes: 6" in shown
    assert "resample them to one size, or add the data option resize_bands=bilinear" in shown
    where[-1] += ",resize_bands=nearest"
    assert main(["data", "check", "folder", *where]) == 0
    assert main(["data", "pack", "folder", "-o", str(tmp_path / "packed"), *where]) == 0

    path, photos = experiment(root, tmp_path), root / "images/val"
    settings = json.loads(path.read_text())
    deep = [tifffile.imread(photos / f"scene 1_{band}.tif").astype(int) * 256 // 4096 for band in ("B04", "B08")]
    expected = np.dstack(
        [deep[0], deep[1].repeat(2, 0).repeat(2, 1), np.asarray(Image.open(photos / "scene 1_rgb.png"))]
    )
    for name in ("folder", "packed"):
        options = OPTIONS | {"resize_bands": "nearest"} if name == "folder" else {}
        place = root if name == "folder" else tmp_path / "packed"
        settings["data"] |= {"name": name, "root": str(place), "options": options}
        path.write_text(json.dumps(settings))
        run, out = tmp_path / name, tmp_path / f"{name} labels"
        assert main(["train", str(path), "-o", str(run), "--device", "cpu"]) == 0
        assert np.array_equal(segattn.predict(run, photos / "scene 1_B08.tif", device="cpu").image, expected)
        assert main(["predict", str(run), str(photos), "-o", str(out), "--device", "cpu"]) == 0
        with Image.open(out / "scene 1-label.png") as label:
            assert label.size == (48, 32)
