"""What version 0.1.0 wrote stays readable: a run, one to resume, a study, a converted checkpoint.

The files were written by that version at commit 103e92f (2026-11-28): `segattn.train.train`, `segattn.study.run_study` and
`segattn convert mmseg` on the smallest experiment, and are never written again.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

import segattn
from segattn import cli, records, report
from segattn.training.train import train
from tests.tiny import old_experiment

FILES = Path(__file__).with_name("version_0_1_0")
EXPECTED = json.loads((FILES / "expected.json").read_text())


@pytest.mark.parametrize("path", ["run", "study/fcn-faithful-s0", "study/emanet-faithful-s0", "conversion"])
def test_model_loads_and_predicts_what_it_did(path):
    model = segattn.load_model(FILES / path)
    image = torch.randn(1, 3, 41, 57, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        rms = float(model(image).square().mean().sqrt())
    assert rms == pytest.approx(EXPECTED[path], rel=1e-4)
    assert len(model.class_names) == len(model.palette) == model.num_classes


def test_record_reads():
    record = records.read(FILES / "run" / "record.json")
    assert (record.head, record.seed, record.iterations, len(record.curve)) == ("ccnet", 0, 5, 5)


def test_finished_run_is_not_trained_again(tmp_path):
    folder = shutil.copytree(FILES / "run", tmp_path / "run")
    record = train(old_experiment("ccnet"), folder, device="cpu", on_notice=pytest.fail)
    assert record == records.read(FILES / "run" / "record.json")


def test_interrupted_run_goes_on_to_the_end_that_the_uninterrupted_one_had(tmp_path):
    folder = shutil.copytree(FILES / "interrupted", tmp_path / "run")
    record = train(old_experiment("ccnet"), folder, device="cpu")
    whole = records.read(FILES / "run" / "record.json")
    assert [point.loss for point in record.curve] == pytest.approx([point.loss for point in whole.curve], rel=1e-3)


@pytest.mark.slow
def test_study_is_reported(tmp_path, capsys):
    written = report.build(FILES / "study", tmp_path)
    page = written["report.html"].read_text()
    assert "emanet" in page
    assert "fcn" in page
    assert cli.main(["report", str(FILES / "study"), "--out", str(tmp_path / "again")]) == 0
    assert "emanet" in capsys.readouterr().out


def test_experiment_file_starts_a_run(tmp_path):
    arguments = ["train", str(FILES / "run" / "experiment.json"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert cli.main([*arguments, "--iterations", "1"]) == 0
    assert records.read(tmp_path / "run" / "record.json").head == "ccnet"
