"""Results of a user's own data are named after their folder, whatever characters its name has."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from segattn import data, records
from segattn.cli import main
from segattn.data.tools import pack
from segattn.report.study import study as report
from tests.cli.test_image_range import experiment

NAME = "my [red] pets & <i>"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    base, rng = tmp_path_factory.mktemp("names") / NAME, np.random.default_rng(0)
    for split in ("train", "val"):
        for index in range(2):
            for part, limit, shape in (("images", 256, (32, 48, 3)), ("masks", 2, (32, 48))):
                path = base / part / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, limit, shape, dtype=np.uint8)).save(path)
    (base / "classes.txt").write_text("left\nright\n")
    return base


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    from segattn.training.train import train

    out = tmp_path_factory.mktemp("runs") / "run"
    config = experiment(root)
    train(dataclasses.replace(config, data=dataclasses.replace(config.data, options={})), out, device="cpu")
    return out


def test_record_and_evaluate_name_the_folder(run, capsys):
    assert records.read(run / "record.json").dataset == NAME
    main(["evaluate", str(run), "--device", "cpu"])
    assert f"on 2 images of {NAME} val" in " ".join(capsys.readouterr().out.split())


def test_report_shows_the_name(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["report", str(run), "-o", str(tmp_path / "report")]) in (0, None)
    assert f"{NAME} val, 2 images" in capsys.readouterr().out
    page = next((tmp_path / "report").glob("*.html")).read_text()
    assert "my [red] pets &amp; &lt;i&gt;" in page
    assert "<i>" not in page


def test_train_prints_the_name(root, tmp_path, capsys):
    small = ["--model.backbone-options", "width=8", "--model.head-options", "channels=8", "--iterations", "1"]
    crop = ["--augmentation.crop-size", "32x32", "--evaluation.examples", "0", "--device", "cpu"]
    assert main(["train", "folder", "--data-root", str(root), *small, *crop, "-o", str(tmp_path / "run")]) == 0
    assert f"fcn on {NAME} val: mIoU" in capsys.readouterr().out


def test_packed_data_keep_their_name(root, tmp_path):
    list(pack.pack("folder", tmp_path / "packed", root=root))
    assert data.load("packed", "val", root=tmp_path / "packed").title == NAME
    assert data.load("packed", "val", root=tmp_path / "packed").first(1).title == NAME


def test_a_folder_named_as_a_data_set_is_told_apart(root, tmp_path):
    shutil.copytree(root, tmp_path / "cityscapes")
    dataset = data.load("folder", "val", root=tmp_path / "cityscapes")
    assert (dataset.name, dataset.title) == ("folder", "cityscapes (folder)")


def test_runs_of_earlier_versions_stand_beside_new_ones(run, tmp_path):
    shutil.copytree(run, tmp_path / "new")
    shutil.copytree(run, tmp_path / "old")
    old = dataclasses.replace(records.read(run / "record.json"), dataset="folder", seed=1)
    records.write(old, tmp_path / "old/record.json")
    assert len(report.load(tmp_path).rows[0].runs) == 2
    elsewhere = {**old.config, "data": {**old.config["data"], "root": "/elsewhere"}}
    records.write(dataclasses.replace(old, config=elsewhere), tmp_path / "old/record.json")
    with pytest.raises(ValueError, match="runs of different data sets"):
        report.load(tmp_path)
