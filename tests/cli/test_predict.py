import shutil

import numpy as np
import pytest
from PIL import Image

from segattn import zoo
from segattn.cli import main
from segattn.cli.predict import network_and_photos


@pytest.fixture
def photos(tmp_path):
    """Photos of odd sizes and other formats."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, (h, w) in {"a.png": (37, 53), "b.jpg": (64, 31), "c.webp": (1, 7)}.items():
        Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)).save(folder / name)
    return folder


def predict(trained, *arguments):
    return main(["predict", str(trained), *map(str, arguments), "--device", "cpu"])


@pytest.mark.parametrize(
    "options", [[], ["--mode", "slide", "--crop-size", "32x24", "--flip", "--scales", "0.5", "1"]], ids=str
)
def test_photos_of_a_folder_are_labelled(options, trained, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(trained, photos, "--out", out, *options) == 0
    assert "3 images labelled in" in capsys.readouterr().out
    for name, size in {"a": (37, 53), "b": (64, 31), "c": (1, 7)}.items():
        label = np.asarray(Image.open(out / f"{name}-label.png"))
        assert label.shape == size
        assert label.max() < 19
        assert (out / f"{name}-overlay.png").exists()


def test_single_files_can_be_given(trained, photos, tmp_path):
    assert predict(trained, photos / "b.jpg", photos / "a.png", "-o", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_mistakes_are_named(trained, photos, tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    for path, message in {
        photos / "gone.png": "gone.png: no such file or folder",
        tmp_path / "empty": "has no images",
    }.items():
        assert predict(trained, path, "--out", out) == 2
        assert message in capsys.readouterr().err
    assert predict(trained, photos / "a.png", "--out", out, "--crop-size", "32") == 2
    assert "mode='slide'" in capsys.readouterr().err
    assert predict(photos, photos / "a.png", "--out", out) == 2
    assert "no model here" in capsys.readouterr().err
    assert predict(trained, "--out", out) == 2
    assert "needs image files or folders" in capsys.readouterr().err
    assert predict(trained, trained, photos / "a.png", "--out", out) == 0  # named twice, the same network
    assert predict(trained, _copy(trained, tmp_path / "other"), photos / "a.png", "--out", out) == 2
    assert f"2 networks; give one, such as {trained}" in capsys.readouterr().err
    assert main(["predict", "--out", str(out)]) == 2
    assert "no model here: nothing; give the folder of a finished run first, such as segattn predict" in (
        capsys.readouterr().err
    )


def _copy(run, folder):
    """A study of one run."""
    shutil.copytree(run, folder / "ccnet-faithful-s0")
    (folder / "study.json").write_text("{}")
    return folder


def test_network_may_stand_anywhere_and_be_a_study_of_one(trained, photos, tmp_path):
    study = _copy(trained, tmp_path / "study")
    words = [str(photos / "a.png"), "-o", str(tmp_path / "out"), str(study), "--device", "cpu", str(photos / "b.jpg")]
    assert main(["predict", *words]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*-label.png")) == ["a-label.png", "b-label.png"]


@pytest.mark.parametrize(
    "words", [["{run}", "{photo}"], ["{photo}", "--checkpoint", "{run}"], ["--checkpoint={run}", "{photo}"]]
)
def test_old_option_names_the_network_too(words, trained, photos, tmp_path, capsys):
    named = [word.format(run=trained, photo=photos / "a.png") for word in words]
    assert main(["predict", *named, "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert ("--checkpoint" in capsys.readouterr().err) == (len(words) > 2 or "=" in words[0])
    assert (tmp_path / "out/a-label.png").exists()


def test_unfinished_folder_among_photos_is_no_network(trained, photos, tmp_path):
    with pytest.raises(ValueError, match="no model here"):
        network_and_photos([photos])
    assert network_and_photos([photos, trained]) == (trained, [photos])


def test_result_folder_that_is_a_file_is_named(trained, photos, capsys):
    assert predict(trained, photos / "a.png", "--out", photos / "b.jpg") == 2
    assert "b.jpg" in capsys.readouterr().err


def test_bad_file_is_named_and_the_others_are_labelled(trained, photos, tmp_path, capsys):
    (photos / "b0.jpg").write_bytes(b"no photo")
    (photos / "z.png").write_bytes(b"")
    (photos / "clip.mp4").write_bytes(b"no video")
    assert predict(trained, photos, "-o", tmp_path / "out", "--batch-size", 2) == 1
    shown = capsys.readouterr()
    assert "3 images labelled in" in shown.out
    for name in ("b0.jpg: unreadable image", "z.png: unreadable image (the file is empty)", "clip.mp4"):
        assert name in shown.err
    assert "3 of 6 files could not be labelled" in shown.err
    assert len(list((tmp_path / "out").glob("*-overlay.png"))) == 3


def test_probabilities_beside_the_labels(trained, photos, tmp_path):
    assert predict(trained, photos / "a.png", "-o", tmp_path / "out", "--probabilities") == 0
    with np.load(tmp_path / "out/a-probabilities.npz") as file:
        probabilities, names = file["probabilities"], file["class_names"]
    assert probabilities.dtype == np.float16
    assert len(probabilities) == len(names) > 1
    label = np.asarray(Image.open(tmp_path / "out/a-label.png"))
    assert (probabilities.argmax(0) == label).mean() > 0.9  # of a network that learnt little, with ties in float16


def test_confidence_is_written_on_demand(trained, photos, tmp_path):
    assert predict(trained, photos / "a.png", "-o", tmp_path / "out", "--confidence") == 0
    sure = np.asarray(Image.open(tmp_path / "out/a-confidence.png"))
    assert sure.shape == (37, 53)
    assert sure.min() >= 13  # the largest of 19 probabilities is at least 1/19


def test_results_beside_the_photos_are_not_labelled_again(trained, photos, capsys):
    for _ in range(2):
        assert predict(trained, photos, "-o", photos, "--confidence") == 0
        assert "3 images labelled in" in capsys.readouterr().out


def test_numbers_out_of_range_are_named(trained, photos, tmp_path, capsys):
    assert predict(trained, photos, "-o", tmp_path, "--batch-size", 0) == 2
    assert "batch size 0 is not possible" in capsys.readouterr().err
    assert predict(trained, photos, "-o", tmp_path, "--opacity", "55") == 2
    assert "opacity is 55.0; it must be between 0" in capsys.readouterr().err


def test_half_precision_labels_nearly_alike(trained, photos, tmp_path):
    for precision in ("fp32", "bf16"):
        assert predict(trained, photos / "a.png", "-o", tmp_path / precision, "--precision", precision) == 0
    exact, near = (np.asarray(Image.open(tmp_path / name / "a-label.png")) for name in ("fp32", "bf16"))
    assert (exact == near).mean() > 0.9


# Networks of the zoo ----------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("tiny_zoo")
def test_best_network_of_the_zoo_is_the_default_and_it_says_so(photos, tmp_path, capsys):
    best = max(zoo.networks("streets"), key=lambda entry: entry.mean_iou)
    assert network_and_photos([photos]) == (best, [photos])
    assert main(["predict", str(photos / "a.png"), "-o", str(tmp_path / "default"), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert f"No network given: {best.name} of segattn zoo, {100 * best.mean_iou:.1f} % mIoU on generated" in shown
    assert predict(best.name, photos / "a.png", "-o", tmp_path / "named") == 0
    assert "No network given" not in capsys.readouterr().out
    default, named = (np.asarray(Image.open(tmp_path / name / "a-label.png")) for name in ("default", "named"))
    assert (default == named).all()


@pytest.mark.usefixtures("tiny_zoo")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["streets", "{photo}"], "streets: 3 networks; give one, such as streets/fcn"),
        (["streets/cnet", "{photo}"], "unknown network 'streets/cnet'; did you mean streets/ccnet"),
        (["streets/ccnet", "{run}", "{photo}"], "2 networks; give one, such as streets/ccnet"),
        (["streets/ccnet"], "segattn predict needs image files or folders"),
        ([], "segattn predict needs image files or folders"),
        (["gone", "{photo}"], "gone: no such file or folder"),
    ],
)
def test_mistakes_with_the_zoo_are_named(words, message, trained, photos, tmp_path, capsys):
    words = [word.format(photo=photos / "a.png", run=trained) for word in words]
    assert main(["predict", *words, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_zoo")
def test_folder_of_photos_called_as_a_trunk_is_a_folder_of_photos(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos.rename("streets")
    assert main(["predict", "streets-local/ccnet", "streets", "-o", "out", "--device", "cpu"]) == 0
    assert len(list((tmp_path / "out").glob("*-label.png"))) == 3


@pytest.mark.usefixtures("tiny_zoo")
def test_unfinished_run_is_not_replaced_by_the_zoo(photos, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/experiment.json").write_text("{}")
    assert predict(tmp_path / "run", photos / "a.png", "-o", tmp_path / "out") == 2
    assert "no model here" in capsys.readouterr().err


def test_photo_above_pillows_limit_is_labelled_with_max_pixels(trained, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # a.png has 1961 pixels
    assert predict(trained, photos / "a.png", "-o", tmp_path / "out") == 1
    assert "a larger --max-pixels" in capsys.readouterr().err
    assert predict(trained, photos / "a.png", "-o", tmp_path / "out", "--max-pixels", 1961) == 0
    assert (tmp_path / "out/a-label.png").is_file()
