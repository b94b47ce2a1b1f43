import re

import numpy as np
import pytest
from PIL import Image

from segattn import cli, data


def test_make_check_pack_and_train_from_it(tmp_path, capsys):
    root, packed = str(tmp_path / "city"), str(tmp_path / "packed")
    make = ["data", "make", "streets", "--layout", "cityscapes", "--out", root, "--images", "4", "--size", "48x96"]
    assert cli.main(make) == 0
    assert "6 scenes" in capsys.readouterr().out
    assert cli.main(["data", "check", "cityscapes", "--data-root", root]) == 0
    report = capsys.readouterr().out
    assert "cityscapes is good: 6 images read, nothing wrong" in report
    assert re.search(r"train +4 +48 x 96 +4 grey, 8 bits", report)
    assert re.search(r"0 road +\d+\.\d\d% \(4\)", report)
    assert cli.main(["data", "pack", "cityscapes", "--data-root", root, "--out", packed]) == 0
    assert "train: 4 samples" in capsys.readouterr().out
    assert data.load("packed", "train", root=packed)[3].image.shape == (48, 96, 3)


def test_check_lists_the_faults_and_exits_with_1(tmp_path, capsys):
    root = tmp_path / "mine"
    make = ["data", "make", "streets", "--layout", "folder", "--out", str(root), "--images", "4", "--size", "48x96"]
    assert cli.main(make) == 0
    Image.fromarray(np.full((48, 96), 77, np.uint8)).save(root / "masks/train/train-000002.png")
    (root / "images/val/val-000000.png").write_bytes(b"[bold]no picture[/]")
    assert cli.main(["data", "check", "folder", "--data-root", str(root)]) == 1
    out = capsys.readouterr().out
    assert "FAULT label value 77: 1" in out
    assert "FAULT unreadable images: 1" in out
    assert "val-000000.png: unreadable image" in out
    assert "folder has 2 faults in 6 images" in out


def test_prepare_prints_the_instructions_and_stops_at_a_dry_run(tmp_path, capsys):
    assert cli.main(["data", "prepare", "voc", "--out", str(tmp_path / "voc"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "VOCtrainval_11-May-2012.tar" in out
    assert "ImageSets/Segmentation/{train,val,test}.txt" in out
    assert not (tmp_path / "voc").exists()


def test_prepare_of_cityscapes_ends_with_what_is_missing(tmp_path, capsys):
    assert cli.main(["data", "prepare", "cityscapes", "--out", str(tmp_path / "city")]) == 2
    out, error = capsys.readouterr()
    assert "https://www.cityscapes-dataset.com/register/" in out
    assert "still missing leftImg8bit/train" in error


def test_mistakes_are_named(tmp_path, capsys):
    for arguments, message in (
        (["chekc", "voc"], "did you mean check?"),
        (["make", "streets", "--layout", "coco", "--out", str(tmp_path / "a")], "layouts: cityscapes"),
        (["make", "streets", "--size", "big", "--out", str(tmp_path / "a")], "HEIGHTxWIDTH"),
        (["prepare", "streets"], "streets is not downloaded"),
        (["check", "cityscape", "--data-root", str(tmp_path)], "did you mean cityscapes?"),
        (["check", "voc", "--data-root", str(tmp_path)], "segattn data prepare voc"),
    ):
        assert cli.main(["data", *arguments]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_commands(arguments, capsys):
    assert cli.main(["data", *arguments]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("prepare", "make", "check", "pack"))
