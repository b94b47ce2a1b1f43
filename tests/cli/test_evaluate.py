import json

import msgspec
import numpy as np
import pytest

from segattn import records, zoo
from segattn.cli import main


def test_same_split_gives_the_recorded_scores(trained, tmp_path, capsys):
    assert main(["evaluate", str(trained), "--device", "cpu", "--out", str(tmp_path / "scores.json")]) == 0
    recorded = records.read(trained / "record.json").scores
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["confusion"] == recorded.confusion
    assert scores["mean_iou"] == recorded.mean_iou
    shown = " ".join(capsys.readouterr().out.split())
    assert f"mIoU {100 * recorded.mean_iou:.2f} % " in shown
    assert "on 3 images of streets val" in shown
    assert recorded.definition in shown
    assert "whole image" in shown


def test_classes_without_a_score_have_a_dash(trained, capsys):
    assert main(["evaluate", str(trained), "--device", "cpu"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    iou = records.read(trained / "record.json").scores.iou
    names = records.read(trained / "record.json").class_names
    for name, value in zip(names, iou, strict=True):
        row = next(row for row in rows if row[: len(name.split())] == name.split())
        assert row[len(name.split())] == ("-" if value is None else f"{100 * value:.2f}")


def test_strata_are_those_of_the_record(trained, capsys):
    assert main(["evaluate", str(trained), "--device", "cpu", "--strata"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    strata = records.read(trained / "record.json").strata
    assert f"boundaries {100 * strata.boundary_mean_iou:.2f}" in shown
    for what, group in (("segments", strata.sizes), ("places", strata.widths)):
        for stratum in group:
            score = "-" if stratum.mean_iou is None else f"{100 * stratum.mean_iou:.2f}"
            assert f"{stratum.name} {what} {100 * stratum.share:.2f} {score}" in shown


def without(arguments, capsys):
    """What `--without-attention` prints and writes."""
    assert main(["evaluate", *map(str, arguments), "--device", "cpu", "--without-attention", "--strata"]) == 0
    return capsys.readouterr().out


def signed(value):
    return "0.00" if round(100 * value, 2) == 0 else f"{100 * value:+.2f}"


def test_scores_without_attention_are_those_of_the_record(trained, tmp_path, capsys):
    shown = without([trained, "--out", tmp_path / "scores.json"], capsys)
    record, words = records.read(trained / "record.json"), " ".join(shown.split())
    cut = record.without_attention
    difference = signed(cut.mean_iou - record.scores.mean_iou)
    assert f"without attention: mIoU {100 * cut.mean_iou:.2f} %, difference {difference} points" in words
    assert "Not retrained: the mechanism's input takes the place of its output." in words
    assert f"learnt gate: gamma {record.gates['gamma']:z.3f}" in words
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["confusion"] == record.scores.confusion
    assert written["without_attention"] == msgspec.to_builtins(cut)


def test_every_class_and_stratum_has_both_scores_and_their_difference(trained, capsys):
    rows = [line.split() for line in without([trained], capsys).splitlines()]
    record = records.read(trained / "record.json")
    cut = record.without_attention
    pairs = dict(zip(record.class_names, zip(record.scores.iou, cut.iou, strict=True), strict=True))
    strata = {f"{s.name} {w}": (s.mean_iou, of_cut[s.name]) for w, group, of_cut in (
        ("segments", record.strata.sizes, cut.sizes), ("places", record.strata.widths, cut.widths)
    ) for s in group}  # fmt: skip
    pairs |= {"boundaries": (record.strata.boundary_mean_iou, cut.boundary_mean_iou), **strata}
    for name, (a, b) in pairs.items():
        row = next(row for row in rows if row[: len(name.split())] == name.split())
        cells = ["-" if v is None else f"{100 * v:.2f}" for v in (a, b)]
        cells.append("-" if a is None or b is None else signed(b - a))
        assert " ".join(cells) in " ".join(row)


def test_scores_without_attention_fit_80_columns(trained, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    shown = without([trained], capsys)
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    assert "class          IoU %  without %  difference  accuracy %" in shown


def test_head_without_mechanism_is_refused_in_one_line(experiment_file, tmp_path, capsys):
    run = tmp_path / "fcn"
    assert main(["train", str(experiment_file), "--head", "fcn", "--out", str(run), "--device", "cpu"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--without-attention"]) == 2
    error = capsys.readouterr().err
    assert "head fcn is a baseline without attention, so nothing can be cut out" in error
    assert len(error.splitlines()) == 1


def test_split_without_labels_has_nothing_to_compare(trained, tmp_path, monkeypatch, capsys):
    from segattn.data import Dataset, Sample, splits

    names, palette = records.read(trained / "record.json").class_names, [(k, k, k) for k in range(19)]
    night = Sample(np.zeros((32, 64, 3), np.uint8), None, "night")
    unlabelled = Dataset(
        name="night", split="test", class_names=names, palette=palette, image_names=["night"], read=lambda i: night,
        from_files=False,
    )  # fmt: skip
    monkeypatch.setattr(splits, "open_split", lambda *arguments: unlabelled)
    arguments = ["--without-attention", "--write-predictions", str(tmp_path / "p"), "--device", "cpu"]
    assert main(["evaluate", str(trained), *arguments]) == 2
    assert "night test has no labels, so no scores for --without-attention; leave it out" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_arithmetic_is_that_of_training_or_the_one_asked_for(precision, trained, monkeypatch, capsys):
    import torch

    from segattn.model import SegmentationModel

    met = []
    forward = SegmentationModel.forward

    def noted(*arguments, **options):
        met.append(torch.is_autocast_enabled("cpu"))
        return forward(*arguments, **options)

    monkeypatch.setattr(SegmentationModel, "forward", noted)
    assert main(["evaluate", str(trained), "--device", "cpu", "--precision", precision]) == 0
    assert set(met) == {precision == "bf16"}
    assert f"no flip; {precision}" in " ".join(capsys.readouterr().out.split())


def test_other_split_and_inference(trained, tmp_path, capsys):
    scores = tmp_path / "scores.json"
    arguments = [
        "--split",
        "test",
        "--mode",
        "slide",
        "--crop-size",
        "24x32",
        "--stride",
        "16x24",
        "--flip",
        "--scales",
        "0.5",
        "1",
    ]
    assert main(["evaluate", str(trained), *arguments, "--device", "cpu", "--out", str(scores)]) == 0
    assert "streets test" in capsys.readouterr().out
    inference = json.loads(scores.read_text())["inference"]
    for word in ("sliding window 24x32", "stride 16x24", "scales 0.5, 1", "with left-right flip"):
        assert word in inference


def test_number_of_images_is_any_of_a_generated_split(trained, tmp_path, capsys):
    counts = []
    for images in (2, 7):
        scores = tmp_path / f"{images}.json"
        words = ["--split", "test", "--images", str(images), "--device", "cpu", "--out", str(scores)]
        assert main(["evaluate", str(trained), *words]) == 0
        counts.append(json.loads(scores.read_text())["num_images"])
    assert counts == [2, 7]
    assert "on 7 images of streets test" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "0"], "--images 0: at least 1"),
        (["--split", "tset"], "unknown split 'tset'"),
        (["--crop-size", "24"], "--crop-size and --stride are for --mode slide"),
        (["--mode", "slide"], "needs evaluation.crop_size"),
        (["--mode", "slide", "--crop-size", "24", "--stride", "25"], "is larger than crop"),
        (["--scales", "0"], "scales"),
        (["--device", "cuda"], "torch sees no GPU"),
        (["--data-root", "photos"], "leave out root"),
    ],
)
def test_mistake_is_named(arguments, message, trained, capsys):
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert main(["evaluate", str(trained), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_network_of_the_zoo_is_scored_on_the_generated_scenes(tiny_zoo, tmp_path, capsys):
    """It was trained from a packed copy, which a user does not have."""
    assert main(["evaluate", "streets-local/emanet", "--device", "cpu", "--out", str(tmp_path / "scores.json")]) == 0
    entry = zoo.find("streets-local/emanet")
    assert json.loads((tmp_path / "scores.json").read_text())["mean_iou"] == pytest.approx(entry.mean_iou, abs=0.002)
    assert "on 3 images of streets val" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("name", "message"),
    [("streets", "streets is a trunk with 3 networks; name one"), ("streets/x", "unknown network 'streets/x'")],
)
def test_name_that_is_no_network_is_answered(name, message, tiny_zoo, capsys):
    assert main(["evaluate", name, "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err


def test_folder_without_a_model_is_named(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "no model here" in capsys.readouterr().err
