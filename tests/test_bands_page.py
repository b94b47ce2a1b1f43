"""The commands of docs/bands.md, run as written in a folder that has what they name, on a network of reduced size."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from segattn.cli import main
from tests.places import ROOT

tifffile = pytest.importorskip("tifffile")

PAGE = (ROOT / "docs/bands.md").read_text(encoding="utf-8")
SMALL = (
    "--backbone resnet18 --model.backbone-options width=8 --model.head-options channels=8 --model.pretrained None "
    "--augmentation.crop-size 33x33"
)
ONE_STEP = "--iterations 1 --optimization.batch-size 2 --evaluation.examples 0 --device cpu"


def commands():
    """The words of each command, without `segattn`."""
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", PAGE, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            program, *words = shlex.split(line)
            assert program == "segattn"
            yield words


@pytest.fixture
def fields(tmp_path):
    """data/fields: images of eight bands of 16 bits, as reflectances times 10,000, in tests' layout."""
    base, rng = tmp_path / "data/fields", np.random.default_rng(0)
    for split in ("train", "val"):
        for part in ("images", "masks"):
            (base / part / split).mkdir(parents=True)
        for index in range(2):
            label = (np.arange(48)[None] > 20 + index) * np.ones((40, 1), np.uint16)
            values = rng.integers(0, 4000, (40, 48, 8)) + 3000 * label[:, :, None]
            path = base / f"images/{split}/{index}.tif"
            tifffile.imwrite(path, values.astype(np.uint16), photometric="minisblack", planarconfig="contig")
            Image.fromarray(label.astype(np.uint8)).save(base / f"masks/{split}/{index}.png")
    (base / "classes.txt").write_text("soil\ncrop\n")
    return base


@pytest.fixture
def scenes(tmp_path, fields):
    """data/scenes: the fourth and the eighth band of these images as files of their own."""
    base = tmp_path / "data/scenes"
    shutil.copytree(fields, base)
    for number, split in enumerate(("train", "val")):
        for index in range(2):
            path = base / f"images/{split}/{index}.tif"
            values = tifffile.imread(path)
            name = 2 * number + index
            for band in (4, 8):
                tifffile.imwrite(path.with_name(f"{name}_B{band:02}.tif"), values[:, :, band - 1])
            path.unlink()
            (base / f"masks/{split}/{index}.png").rename(base / f"masks/{split}/{name + 10}.png")
        for mask in (base / f"masks/{split}").iterdir():
            mask.rename(mask.with_stem(str(int(mask.stem) - 10)))
    return base


@pytest.fixture
def tiles(tmp_path, scenes):
    """data/tiles: the same, with a band of half the resolution in place of the second."""
    base = tmp_path / "data/tiles"
    shutil.copytree(scenes, base)
    for path in base.glob("images/*/*_B08.tif"):
        tifffile.imwrite(path.with_name(path.name.replace("B08", "B11")), tifffile.imread(path)[::2, ::2])
        path.unlink()
    return base


@pytest.mark.slow
def test_commands_of_the_page_run(fields, scenes, tiles, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    printed = {}
    for words in commands():
        more = shlex.split(f"{SMALL} {ONE_STEP}") if words[0] == "train" else []
        more += ["--device", "cpu"] if words[0] == "predict" else []
        assert main([*words, *more]) == 0, words
        printed[" ".join(words[:2])] = capsys.readouterr().out
    assert "folder is good" in printed["data check"]
    assert re.search(r"--model\.in-channels 4 --model\.mean [\d. ]+ --model\.std", printed["data statistics"])
    images = json.loads((tmp_path / "runs/fields/config.json").read_text())["images"]
    assert (images["bands"], images["value_range"], len(images["means"])) == ([4, 3, 2, 8], [0, 10000], 4)
    assert sorted(path.name for path in (tmp_path / "labels").glob("*-label.png")) == [
        *("0-label.png", "1-label.png"),  # of fields
        *("2-label.png", "3-label.png"),  # of scenes
    ]
    assert (tmp_path / "samples.png").stat().st_size > 1000
    images = json.loads((tmp_path / "runs/scenes/config.json").read_text())["images"]
    assert (images["bands"], len(images["means"])) == (["_B04.tif", "_B08.tif"], 2)
    images = json.loads((tmp_path / "runs/tiles/config.json").read_text())["images"]
    assert (images["bands"], images["resize_bands"]) == (["_B04.tif", "_B11.tif"], "bilinear")
