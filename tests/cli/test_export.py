"""`segattn export`, and its files in the commands that take a run."""

import json

import numpy as np
import pytest
from PIL import Image

from segattn.cli import export, main
from segattn.evaluation.lost import Loss

pytest.importorskip("onnxruntime")


def segattn(*words):
    return main([*map(str, words)])


@pytest.mark.slow
def test_an_exported_file_takes_the_place_of_its_run(trained, tmp_path, capsys):
    file, photos = tmp_path / "my net.pt2", tmp_path / "photos"
    photos.mkdir()
    for name, size in {"a": (37, 53), "b": (64, 31)}.items():
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)).save(
            photos / f"{name}.png"
        )
    assert segattn("export", trained, "-o", file) == 0
    printed = capsys.readouterr().out
    assert "compared with the network:\n  1 x 97x161   largest difference" in printed
    assert "input   float32 (batch, 3, height, width), normalised RGB\n" in printed
    assert max(map(len, printed.replace(str(tmp_path), "").replace(str(trained), "").splitlines())) <= 80
    options = ["--mode", "slide", "--crop-size", "32x24", "--flip"]
    for network in (trained, file):
        assert segattn("predict", network, photos, "-o", tmp_path / network.stem, *options, "--device", "cpu") == 0
        assert segattn("evaluate", network, "--out", tmp_path / f"{network.stem}.json", "--device", "cpu") == 0
    for name in ("a", "b"):
        labels = [np.asarray(Image.open(tmp_path / each / f"{name}-label.png")) for each in (trained.stem, file.stem)]
        assert (labels[0] == labels[1]).mean() > 0.999
    scores = [json.loads((tmp_path / f"{each}.json").read_text()) for each in (trained.stem, file.stem)]
    assert scores[0]["mean_iou"] == pytest.approx(scores[1]["mean_iou"], abs=1e-4)
    capsys.readouterr()
    assert segattn("evaluate", file, "--without-attention") == 2
    assert "--without-attention needs the network itself, and" in capsys.readouterr().err
    assert segattn("predict", file, photos, "-o", tmp_path / "out", "--precision", "bf16") == 2
    assert "its precision is that of its export" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
def test_int8_prints_what_it_costs_and_is_refused_above_the_limit(trained, tmp_path, capsys):
    file, options = tmp_path / "net.onnx", ("--precision", "int8", "--calibration-images", 3, "--test-images", 2)
    assert segattn("export", trained, "-o", file, *options, "--max-loss", 100) == 0
    assert "mIoU on 2 images of streets val: " in capsys.readouterr().out
    file.unlink()
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(4):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (40, 57, 3), dtype=np.uint8)).save(
            photos / f"{index}.png"
        )
    assert segattn("export", trained, "-o", file, *options, "--calibration", photos, "--max-loss", 0) == 2
    printed = capsys.readouterr()
    assert "labels on 1 image without masks: " in printed.out
    assert "net.onnx is not written: int8 changes" in printed.err
    assert not file.exists()


@pytest.mark.parametrize(
    ("what", "points", "most", "advice"),
    [
        ("points of mIoU", 1.01, None, "at most 1 are allowed; .* --max-loss 2"),
        ("% of the labels", 5.5, None, "at most 5 are allowed; .* --max-loss 6"),
        ("points of mIoU", 0.3, 0.2, r"at most 0\.2 are allowed; .* --max-loss 1"),
        ("points of mIoU", float("nan"), 3.0, "at most 3 are allowed"),
        ("points of mIoU", 0.99, None, None),
        ("points of mIoU", -0.5, 0.0, None),
        ("% of the labels", 50.0, 50.0, None),
    ],
)
def test_the_limit_of_int8_depends_on_what_is_measured(what, points, most, advice, tmp_path, capsys):
    from segattn.cli import terminal

    chosen = export.ExportArguments(tmp_path, tmp_path / "net.onnx", precision="int8", max_loss=most)
    loss = Loss(points, what, "how much")
    if advice is None:
        export._judge(chosen, terminal.console(), loss)
    else:
        with pytest.raises(ValueError, match=advice):
            export._judge(chosen, terminal.console(), loss)
    assert "how much" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-loss", "2"], "--max-loss is for --precision int8; leave it out, or add that"),
        (["--calibration", "photos"], "--calibration is for --precision int8"),
        (["--precision", "int8", "--max-loss", "-1"], "--max-loss is -1; give 0 or more points"),
        (["--precision", "int8", "--test-images", "0"], "--test-images is 0; give 1 or more"),
        (["--precision", "int8", "--calibration", "photos", "--data-root", "d"], "leave out --data-root"),
        (["--precision", "int8", "--calibration", "gone"], "gone: no such file or folder"),
        (["--opset", "9"], "opset 9 is not possible; use 18 to 23"),
    ],
)
def test_mistakes_are_named_and_leave_no_file(options, message, trained, tmp_path, capsys):
    assert segattn("export", trained, "-o", tmp_path / "net.onnx", *options) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
