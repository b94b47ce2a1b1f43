"""Head-only training on the command line: a trunk, its features, heads on them."""

import shlex

import pytest

from segattn import records, zoo
from segattn.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_reference_costs")]

HEADS = ["--heads", "fcn", "ccnet"]


@pytest.fixture(scope="module")
def words(experiment_file, tmp_path_factory):
    """The experiment and its options for head-only training on a trunk that was trained for two iterations."""
    trunk = str(tmp_path_factory.mktemp("trunk") / "fcn")
    file, short = str(experiment_file), ["--mode", "controlled", "--device", "cpu", "--evaluation.examples", "0"]
    assert main(["train", file, "--out", trunk, *short]) == 0
    return [file, *short, "--train", "head", "--pretrained", trunk, "--init-head", "trunk"]


def unwrapped(text):
    return " ".join(text.split())


def mean_ious(out):
    runs = [records.read(out / path) for path in records.read(out / "study.json").runs]
    return {(run.head, run.seed): run.scores.mean_iou for run in runs}


@pytest.mark.usefixtures("no_pictures")
def test_study_with_stored_features_and_side_by_side_records_the_same(words, tmp_path, capsys):
    assert main(["study", *words, *HEADS, "--out", str(tmp_path / "stored")]) == 0
    shown = capsys.readouterr().out
    announced = "Features, computed once: 20 crops (4 of each image) and 3 validation images, stage 4 64x4x6 in bf16"
    assert announced in unwrapped(shown)
    assert "\nfeatures: sample 23 of 23\n" in shown
    assert "[1/2] fcn-controlled-s0: train step 1 of 2" in shown
    assert "[2/2] ccnet-controlled-s0: done\n" in shown
    beside = ["--features", str(tmp_path / "nowhere"), "--features-limit", "0.001MB"]
    assert main(["study", *words, *HEADS, "--out", str(tmp_path / "beside"), *beside]) == 0
    shown = capsys.readouterr().out
    assert "The limit is 0.0 MiB" in shown
    assert "[1-2/2] 2 heads side by side, seed 0: train step 1 of 2" in shown
    assert not (tmp_path / "nowhere").exists()
    assert mean_ious(tmp_path / "stored") == mean_ious(tmp_path / "beside")
    assert mean_ious(tmp_path / "stored").keys() == {("fcn", 0), ("ccnet", 0)}


def test_the_end_of_a_study_says_how_heads_start_what_the_zoo_reached_and_what_to_type_next(
    experiment_file, tiny_zoo, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    words = ["--mode", "controlled", "--train", "head", "--pretrained", "streets-local", "--init-head", "trunk"]
    heads = ["--heads", "fcn", "ccnet", "isanet"]
    assert main(["study", str(experiment_file), *words, *heads, "--device", "cpu", "--out", "runs/a"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    record = records.read("runs/a/study.json")
    of_zoo = {entry.head: entry for entry in zoo.networks("streets-local") if entry.mode == "controlled"}
    assert {each.head: each.mean_iou for each in record.fully_trained} == {
        head: of_zoo[head].mean_iou for head in ("fcn", "ccnet")
    }
    assert {run.head: run.start.identity for run in (records.read(f"runs/a/{path}") for path in record.runs)} == {
        "fcn": None, "ccnet": True, "isanet": False,
    }  # fmt: skip
    (row,) = [line for line in shown.splitlines() if line.startswith("ccnet ")]
    assert f"{100 * of_zoo['ccnet'].mean_iou:.2f}" in row.split()
    assert "isanet†" in shown
    *_, steps = shown.partition("\nNext:\n")
    first, *_ = shlex.split(steps.partition("Report:")[0].replace("\\\n", ""))
    assert first == "segattn"
    commands = steps.replace("\\\n", "").strip().splitlines()
    assert [shlex.split(line)[1] for line in commands[:3]] == ["maps", "demo", "compare"]
    for line in (commands[0], commands[2]):
        assert main(shlex.split(line)[1:]) == 0


def test_features_are_computed_by_two_processes_and_complete_the_second_time(words, tmp_path, capsys):
    folder = tmp_path / "features"
    command = ["data", "features", *words, *HEADS, "--out", str(folder)]
    assert main([*command, "--dry-run"]) == 0
    assert "0.1 MiB to be computed" in capsys.readouterr().out
    assert not folder.exists()
    assert main([*command, "--workers", "2"]) == 0
    shown = capsys.readouterr().out
    assert "features: sample 23 of 23" in shown
    assert "complete: " in shown
    (stored,) = folder.iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in stored.iterdir()}
    assert set(before) == {"index.json", "train-00000.bin", "val-00000.bin"}
    assert main(command) == 0
    assert capsys.readouterr().out.endswith(f"in {stored}, complete\n")
    assert {path.name: path.stat().st_mtime_ns for path in stored.iterdir()} == before


def test_train_reads_the_features_and_computes_what_is_missing(words, tmp_path, capsys):
    run, folder = tmp_path / "run", tmp_path / "features"
    assert main(["train", *words, "--head", "ccnet", "--out", str(run), "--features", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "features: sample 23 of 23" in shown
    assert "head: sandwich from there, attention at random" in unwrapped(shown)
    (stored,) = folder.iterdir()
    before = stored.stat().st_mtime_ns
    again = tmp_path / "again"
    assert main(["train", *words, "--head", "ccnet", "--out", str(again), "--features", str(folder)]) == 0
    assert "features: sample" not in capsys.readouterr().out
    assert stored.stat().st_mtime_ns == before
    assert records.read(run / "record.json").scores == records.read(again / "record.json").scores


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        (["study"], ["--features-limit", "12"], "--features-limit '12': a size above 0 with its unit, such as 500MB"),
        (["data", "features"], ["--workers", "0"], "--workers 0: at least 1"),
        (["data", "features"], ["--train", "all"], "tiny trains the whole network; add --train head"),
        (["data", "features"], ["--pretrained", "None"], "a random one has learnt nothing; give model.pretrained"),
        (["data", "features"], ["--features.copies", "0"], "features.copies should be above 0"),
    ],
)
def test_mistake_is_named_and_nothing_written(words, command, options, message, tmp_path, capsys):
    assert main([*command, *words, "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_little_space_is_said_before_anything_is_written(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("segattn.study.features.free_bytes", lambda folder: 1000)
    assert main(["data", "features", *words, *HEADS, "--out", str(tmp_path / "out")]) == 2
    assert "0.1 MiB are needed and 0.0 MiB are free" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
