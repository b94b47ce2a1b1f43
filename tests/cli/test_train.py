import json

import pytest

from segattn import checkpoint, records
from segattn.cli import main
from segattn.training.interruption import Interrupted


def test_run_is_trained_as_the_command_line_says(trained):
    record = records.read(trained / "record.json")
    assert (record.head, record.iterations, record.dataset) == ("ccnet", 2, "streets")
    assert checkpoint.load_model(trained).experiment.model.head == "ccnet"


def test_end_shows_score_and_folder(experiment_file, tmp_path, capsys):
    code = main(
        ["train", str(experiment_file), "--out", str(tmp_path / "run"), "--device", "cpu", "--iterations", "1",
         "--model.head-options", "channels=4", "--model.backbone-options", "width=4,stem=plain", "--seed", "7",
         "--augmentation.crop-size", "24x40"]
    )  # fmt: skip
    assert code == 0
    shown = capsys.readouterr().out
    record = records.read(tmp_path / "run" / "record.json")
    assert f"fcn on streets val: mIoU {100 * record.scores.mean_iou:.2f} %" in shown
    assert str(tmp_path / "run") in shown
    assert "train step 1 of 1" in shown
    assert record.seed == 7
    assert record.cost.input_size == (24, 40)
    assert record.config["model"]["head_options"] == {"channels": 4}
    assert record.config["model"]["backbone_options"] == {"width": 4, "stem": "plain"}


def test_runs_own_experiment_file_starts_the_same_run(trained, tmp_path):
    assert main(["train", str(trained / "experiment.json"), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    again, first = records.read(tmp_path / "run/record.json"), records.read(trained / "record.json")
    assert again.scores == first.scores
    assert again.curve == first.curve


def test_yaml_experiment_is_read_too(experiment_file, tmp_path):
    import yaml

    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(json.loads(experiment_file.read_text())))
    arguments = ["--out", str(tmp_path / "run"), "--device", "cpu", "--iterations", "1"]
    assert main(["train", str(tmp_path / "tiny.yaml"), *arguments]) == 0


def test_without_an_experiment_the_choices_are_named(capsys):
    assert main(["train"]) == 2
    assert "segattn train needs an experiment: " in capsys.readouterr().err


def test_help_without_an_experiment_lists_them(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", "--help"])
    assert caught.value.code == 0
    assert "quick        A small study on generated street scenes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quik"], "unknown experiment 'quik'; did you mean quick"),
        (["nowhere.json"], "cannot read the experiment nowhere.json"),
        (["quick", "--head", "ccnett"], "unknown head 'ccnett'; did you mean ccnet"),
        (
            ["quick", "--head", "ccnet", "--model.head-options", "recurence=1"],
            "no option 'recurence'; did you mean recurrence",
        ),
        (["quick", "--backbone", "resnet81"], "unknown backbone 'resnet81'"),
        (["quick", "--iterations", "0"], "optimization.iterations should be above 0"),
        (["quick", "--data.name", "streams"], "unknown data set 'streams'; did you mean streets"),
        (["quick", "--data.val-split", "vall"], "unknown split 'vall'"),
        (["camvid", "--data-root", "/nowhere"], "/nowhere"),
    ],
)
def test_mistake_is_named_and_nothing_written(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not readable as JSON"), ('{"name": "x", "tempo": 1}', "unknown field tempo"), ("[]", "Expected `object`")],
)
def test_bad_experiment_file_is_named(text, message, tmp_path, capsys):
    (tmp_path / "own.json").write_text(text)
    assert main(["train", str(tmp_path / "own.json")]) == 2
    error = capsys.readouterr().err
    assert "own.json" in error
    assert message in error


def test_wrong_type_is_an_error_of_the_parser(capsys):
    assert main(["train", "quick", "--iterations", "many"]) == 2
    assert capsys.readouterr().err == "segattn: error: --iterations: 'many' should be a whole number\n"


def test_interrupted_run_is_130_and_says_how_to_go_on(experiment_file, tmp_path, monkeypatch, capsys):
    from segattn.training import train as module

    def stopped(*arguments, **options):
        raise Interrupted("stopped by SIGTERM at iteration 3; run the same command again to continue")

    monkeypatch.setattr(module, "train", stopped)
    assert main(["train", str(experiment_file), "--out", str(tmp_path / "run")]) == 130
    assert (
        capsys.readouterr().err
        == "segattn: stopped by SIGTERM at iteration 3; run the same command again to continue\n"
    )


def test_default_folder_is_named_after_experiment_and_run(experiment_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(experiment_file), "--device", "cpu", "--iterations", "1", "--mode", "controlled"]) == 0
    assert (tmp_path / "runs/tiny/fcn-controlled-s0/record.json").exists()
