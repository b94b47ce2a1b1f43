"""The tool that draws the pictures of README.md and docs/: its source, and what it refuses."""

import shutil

import numpy as np
import pytest
from PIL import Image

from docs.make import images, predictions
from docs.make.shown import mean_iou, shown
from segattn import checkpoint, config, records, zoo
from segattn.evaluation.telling import telling_pixels
from tests.tiny_zoo import packed, tiny_runs, tiny_zoo  # noqa: F401  fixtures


@pytest.mark.usefixtures("tiny_zoo")
def test_controlled_networks_of_the_local_trunk_are_shown_unless_others_are_named():
    what = shown()
    assert [(name, str(source)) for name, source in what.networks] == [
        (head, f"streets-local/{head}") for head in ("ccnet", "emanet", "fcn")
    ]  # and not ccnet-faithful
    assert len(shown("streets").networks) == 3
    assert what.pixel == telling_pixels(what.dataset)[-1]
    assert what.image.shape == (32, 64, 3)
    assert mean_iou(what.networks[0][1]) == zoo.find("streets-local/ccnet").mean_iou


def test_networks_of_other_data_than_generated_scenes_are_refused(tiny_runs):  # noqa: F811  they read packed data
    with pytest.raises(
        ValueError, match=r"networks of packed; only pictures of generated scenes \(streets\) are committed"
    ):
        shown(str(tiny_runs[0]))


@pytest.mark.usefixtures("tiny_zoo")
def test_installation_without_networks_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"streets-local is not a folder.*this installation has none"):
        shown()


@pytest.mark.usefixtures("tiny_zoo")
def test_one_command_writes_the_pictures_that_need_no_browser(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    images.main(folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attention_maps.png", "predictions.png"]
    assert "explorer.png is left as it is: " in (said := capsys.readouterr().out)
    assert "Chromium not installed" in said
    with Image.open(tmp_path / "predictions.png") as picture:  # scene, label and three networks: two rows of four
        assert picture.size == (4 * (64 + 8) - 8, 2 * (32 + 22 + 8) - 8)


@pytest.mark.usefixtures("tiny_zoo")
def test_study_on_generated_scenes_is_a_source_too(tiny_runs, tmp_path):  # noqa: F811
    run = tmp_path / "study" / "ccnet-controlled-s0"
    shutil.copytree(tiny_runs[1], run)
    model = checkpoint.load_model("streets-local/ccnet")
    checkpoint.save_model(
        model, run, experiment=model.experiment, class_names=[*model.class_names], palette=[*model.palette]
    )
    what = shown(str(tmp_path / "study"))
    assert [name for name, _ in what.networks] == ["ccnet"]
    assert config.from_dict(checkpoint.read_config(run)["experiment"]).data.name == "streets"
    assert mean_iou(what.networks[0][1]) == records.read(run / "record.json").scores.mean_iou


def test_large_tiles_are_scaled_to_the_width_of_a_column():
    tile = Image.fromarray(np.zeros((256, 512, 3), np.uint8))
    sheet = predictions.compose([("scene", tile), ("label", tile)])
    assert sheet.size == (4 * (320 + 8) - 8, 160 + 22 + 8 - 8)
