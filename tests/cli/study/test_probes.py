"""`segattn study probes`, as a user sees it at 80 columns."""

import pytest

from segattn.cli import main
from segattn.records.probes import read_probe
from segattn.study.probes import plan, record
from segattn.study.probes.plan import Probe, Variant


@pytest.mark.slow
def test_one_task_is_trained_shown_and_drawn(monkeypatch, tmp_path, capsys):
    short = {"compare": Probe("compare", 2, (Variant("fcn", "fcn"),))}
    monkeypatch.setattr(plan, "PROBES", short)
    monkeypatch.setattr(record, "PROBES", short)
    out = tmp_path / "my probes"
    assert main(["study", "probes", "compare", "--seeds", "1", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "compare: accuracy %, by ratio (larger to smaller region); chance 50 %" in shown
    assert "fcn      1    50   50  50  50" in shown
    assert f"Figures: {out / 'compare.png'}" in shown
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert read_probe(out / "compare.json").command.startswith("segattn study probes compare --seeds 1 --out ")


@pytest.mark.slow
def test_full_grid_has_the_heads_that_are_named_and_the_ablations(monkeypatch, tmp_path):
    short = {"noise": Probe("noise", 2, (Variant("fcn", "fcn"),))}
    monkeypatch.setattr(plan, "PROBES", short)
    monkeypatch.setattr(record, "PROBES", short)
    monkeypatch.setattr(plan, "_DENOISED_MORE", (Variant("denoised_nl hard", "denoised_nl", {"gr_mode": "hard"}),))
    arguments = ["noise", "--grid", "full", "--heads", "fcn", "reconet", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main(["study", "probes", *arguments]) == 0
    runs = read_probe(tmp_path / "out/noise.json").runs
    assert [run.variant for run in runs] == ["fcn", "reconet", "denoised_nl hard"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["raech"], "unknown task 'raech'; did you mean reach?"),
        (["--seeds", "0"], "--seeds 0: at least 1"),
        (["--jobs", "0"], "--jobs 0: at least 1"),
        (["--grid", "whole"], "reduced"),
        (["--heads", "ccnet"], "--heads says which heads the full grid adds; give --grid full as well"),
        (["--grid", "full", "--heads", "ccnett"], "unknown head 'ccnett'; did you mean ccnet"),
        (["reach", "--backbone", "resnet18"], "choose a backbone with a smaller field, such as patches"),
    ],
)
def test_wrong_arguments_are_one_line_with_advice(arguments, message, capsys, tmp_path):
    assert main(["study", "probes", *arguments, "--out", str(tmp_path / "out")]) != 0
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_help_names_the_tasks(capsys):
    with pytest.raises(SystemExit):
        main(["study", "probes", "--help"])
    shown = capsys.readouterr().out
    assert "conjunction" in shown
    assert "--grid" in shown
