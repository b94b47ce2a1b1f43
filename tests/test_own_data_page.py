"""What docs/own_data.md tells to type does what it says, in a folder with a space in its name."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from segattn.cli import main
from segattn.cli.values import name_values
from segattn.data.files.class_lists import read
from tests.places import ROOT

PAGE = (ROOT / "docs/own_data.md").read_text(encoding="utf-8")
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SMALL = [
    "--model.backbone-options",
    "width=8",
    "--model.head-options",
    "channels=8",
    "--device",
    "cpu",
    "--evaluation.examples",
    "0",
]


@pytest.mark.slow
def test_commands_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    printed = ""
    for line in SHELL:
        words = shlex.split(line)
        if words[0] == "rm":
            (tmp_path / words[1]).unlink()
            continue
        assert words[0] == "segattn"
        assert main([*words[1:], *(SMALL if words[1] == "train" else [])]) == 0, line
        printed += capsys.readouterr().out
    assert (tmp_path / "runs/my-data/fcn-faithful-s0/record.json").is_file()
    assert min(Image.open(tmp_path / "samples.png").size) > 300
    assert "my data/classes.json: written, 19 classes" in printed
    assert printed.count("folder is good") == 2


@pytest.mark.slow
def test_commands_that_init_prints_run_as_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        main(["data", "make", "streets", "--layout", "camvid", "-o", "cam vid's", "--images", "4", "--size", "48x96"])
        == 0
    )
    capsys.readouterr()
    assert main(["data", "init", "cam vid's"]) == 0
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  segattn")]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)[1:]
        more = [*SMALL, "--iterations", "2"] if words[0] == "train" else []
        assert main([*words, *more]) == 0, command
    assert (tmp_path / "runs/cam-vid-s/fcn-faithful-s0/record.json").is_file()


@pytest.mark.slow
def test_commands_for_bands_run_as_pasted(tmp_path, monkeypatch, capsys):
    tifffile = pytest.importorskip("tifffile")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for index in range(8):
        for band, size in (("B04", (48, 64)), ("B08", (48, 64)), ("B11", (24, 32)), ("B12", (24, 32))):
            path = tmp_path / f"the scenes/images/{index}/{band}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, rng.integers(-50, 9000, size).astype(np.int16))
        (tmp_path / "the scenes/masks").mkdir(exist_ok=True)
        mask = rng.integers(0, 3, (48, 64), dtype=np.uint8)
        Image.fromarray(mask).save(tmp_path / f"the scenes/masks/{index}.png")
    assert main(["data", "init", "the scenes"]) == 0
    shown = capsys.readouterr().out
    assert "  each image has 4 files, 4 bands in all: */B04.tif, */B08.tif, */B11.tif, */B12.tif\n" in shown
    assert "  bands differ in size: resize_bands=bilinear brings them to that of the largest\n" in shown
    assert re.search(
        r"  values from -\d\d to 8,9\d\d: value_range=\[-\d\d,89\d\d\] makes -\d\d black, 89\d\d white\n", shown
    )
    for line in shown.splitlines():
        if line.startswith("  segattn"):
            words = shlex.split(line)[1:]
            more = [*SMALL, "--iterations", "2"] if words[0] == "train" else []
            assert main([*words, *more]) == 0, line
    assert (tmp_path / "runs/the-scenes/fcn-faithful-s0/record.json").is_file()


def test_options_of_the_page_are_what_the_readers_take(tmp_path):
    import inspect

    from segattn.data import folder, huggingface, webdataset

    allowed = set().union(*(inspect.signature(reader.load).parameters for reader in (folder, huggingface, webdataset)))
    words = re.findall(r"`(\w+=[^`]+)`", PAGE) + re.findall(r"--data-options '([^']+)'", PAGE)
    named = set().union(*(name_values(word) for word in words if not word.startswith("{")))
    assert len(named) > 12
    assert named <= allowed


def test_class_list_of_the_page_is_one(tmp_path):
    (tmp_path / "classes.json").write_text(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    classes = read(tmp_path / "classes.json")
    assert classes.values == {7: 0, 8: 1, 9: 1}
    assert classes.ignored == (0, (0, 0, 0))
