import dataclasses
import json

import pytest

from segattn import config as configuration
from segattn import records, report
from segattn.study import run as study_module
from segattn.study.plan import plan, run_name
from segattn.study.run import run_study
from segattn.study.sweep import grid, paths, with_settings
from tests import tiny

LR = grid({"optimization.lr": [0.05, 0.1], "model.head_options.channels": [8, 16]})


def test_grid_is_every_combination():
    assert [
        {"optimization.lr": lr, "model.head_options.channels": channels} for lr in (0.05, 0.1) for channels in (8, 16)
    ] == LR
    assert paths(LR) == ["optimization.lr", "model.head_options.channels"]


def test_settings_become_those_of_the_experiment():
    changed = with_settings(tiny.TINY, LR[3])
    assert (changed.optimization.lr, changed.model.head_options) == (0.1, {"channels": 16})
    assert with_settings(tiny.TINY, {"augmentation.crop_size": [64, 64]}).augmentation.crop_size == (64, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"optimization.lrr": 1.0},
            r"--sweep optimization\.lrr: not an experiment: unknown field optimization\.lrr; did you mean",
        ),
        ({"optimization.lr": "high"}, "--sweep optimization.lr: not an experiment: Expected `float`"),
        ({"optim.lr": 1.0}, "an experiment has no optim"),
        ({"model.head": "ccnet"}, "not a setting to sweep over; use --heads"),
        ({"seed": 3}, "use --seeds"),
        ({"evaluation.mode": "slide"}, "needs evaluation.crop_size"),
    ],
)
def test_setting_that_cannot_be_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        with_settings(tiny.TINY, settings)


def test_runs_are_named_after_what_differs():
    runs = plan(tiny.TINY, ("fcn", "ccnet"), (0, 1), LR[:2])
    names = [run_name(run, paths(LR)) for run in runs]
    assert names[:3] == [
        "fcn-faithful-lr0.05-channels8-s0",
        "ccnet-faithful-lr0.05-channels8-s0",
        "fcn-faithful-lr0.05-channels16-s0",
    ]
    assert len(set(names)) == 8


def test_a_setting_is_checked_with_the_heads_of_the_study_not_with_that_of_the_experiment():
    assert tiny.TINY.model.head == "fcn"  # which has no gates
    gates = dataclasses.replace(tiny.TINY, optimization=dataclasses.replace(tiny.TINY.optimization, freeze="gates"))
    swept = grid({"optimization.freeze": ["gates"]})
    for runs in (plan(gates, ("ccnet", "danet"), (0, 1)), plan(tiny.TINY, ("ccnet", "danet"), (0, 1), swept)):
        assert [run.optimization.freeze for run in runs] == ["gates"] * 4
    for config, sweep in ((gates, ()), (tiny.TINY, swept)):
        with pytest.raises(ValueError, match="freeze names gates, but head psp has none"):
            plan(config, ("ccnet", "psp"), (0,), sweep)


def test_values_of_any_type_are_parts_of_a_folder():
    sweep = [{"augmentation.crop_size": [32, 48]}, {"augmentation.crop_size": [48, 32]}]
    assert [run_name(run, paths(sweep)) for run in plan(tiny.TINY, ("fcn",), (0,), sweep)] == [
        "fcn-faithful-crop_size32x48-s0",
        "fcn-faithful-crop_size48x32-s0",
    ]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ([{"optimization.lr": 0.1}, {"optimization.lr": 0.1}], r"fcn-faithful-lr0\.1-s0 more than once"),
        ([{"model.head_options.chanels": 3}], "no option 'chanels'"),
        ([{"optimization.iterations": 0}], "iterations should be above 0"),
    ],
)
def test_sweep_is_checked_before_the_first_run(sweep, message):
    with pytest.raises(ValueError, match=message):
        plan(tiny.TINY, ("fcn",), (0,), sweep)


@pytest.mark.slow
def test_report_of_a_sweep_has_its_settings_curves_and_the_best_of_each_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "reference_costs", lambda names, mode: [])
    short = tiny.experiment(validate_every=0, evaluation={"examples": 0, "strata": False, "without_attention": False})
    sweep = grid({"optimization.iterations": [1, 2]})
    path = run_study(
        short, tmp_path, head_names=("fcn", "ccnet"), device="cpu", sweep=sweep, on_notice=lambda line: None
    )
    record = records.read(path)
    assert record.swept == ["optimization.iterations"]
    assert record.runs[0] == "fcn-faithful-iterations1-s0/record.json"
    study = report.load(path)
    assert {row.label for row in study.rows} == {
        f"{head} (iterations={number})" for head in ("fcn", "ccnet") for number in (1, 2)
    }
    for row in study.rows:
        if row.head == "ccnet":
            assert study.baseline(row).swept == row.swept
    written = report.build(study, tmp_path / "report")
    assert "figures/sweep_iterations.svg" in written
    table = written["table.csv"].read_text().splitlines()
    assert "iterations" in table[0].split(",")
    text = written["report.md"].read_text()
    assert "Within 1 iterations, " in text
    assert "Within 2 iterations, " in text
    assert "The runs differ in settings" not in text


@pytest.mark.slow
def test_finished_runs_of_a_sweep_are_not_run_again_and_a_sweep_can_grow(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "reference_costs", lambda names, mode: [])
    monkeypatch.setattr(study_module.looks, "update", lambda previous, *rest, **options: previous)
    short = tiny.experiment(
        optimization={"iterations": 1},
        validate_every=0,
        evaluation={"examples": 0, "strata": False, "without_attention": False},
    )
    for values in ([0.1], [0.1, 0.2]):
        sweep = grid({"optimization.lr": values})
        run_study(short, tmp_path, head_names=("fcn",), device="cpu", sweep=sweep, on_notice=lambda line: None)
        created = (tmp_path / "fcn-faithful-lr0.1-s0/record.json").stat().st_mtime_ns
    assert len(list(tmp_path.glob("*/record.json"))) == 2
    assert created == (tmp_path / "fcn-faithful-lr0.1-s0/record.json").stat().st_mtime_ns
    assert json.loads((tmp_path / "plan.json").read_text())["swept"] == ["optimization.lr"]
    assert (
        configuration.from_dict(records.read(tmp_path / "fcn-faithful-lr0.2-s0/record.json").config).optimization.lr
        == 0.2
    )
