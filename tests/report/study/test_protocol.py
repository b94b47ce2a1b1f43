"""Settings that differ between runs are flagged, those meant to differ are not."""

import dataclasses

from segattn import report
from segattn.report.study import protocol
from tests.report import fabricate


def study_with(folder, **second):
    fabricate.run("fcn", 0, folder / "a", images=0)
    first = fabricate.run("ccnet", 0, folder / "b", images=0).config
    fabricate.run("ccnet", 0, folder / "b", images=0, config={**first, **second})
    return report.load(folder)


def test_nested_settings_get_dotted_names():
    assert protocol.flatten({"a": {"b": {"c": 0.5}, "d": [7, None]}, "e": True}) == {
        "a.b.c": "0.5", "a.d": "[7, null]", "e": "true",
    }  # fmt: skip


def test_head_and_seed_may_differ(ten_by_three):
    settings = {setting.key: setting for setting in protocol.settings(report.load(ten_by_three))}
    assert len(settings["model.head"].values) == 10
    assert len(settings["seed"].values) == 3
    assert not any(setting.flagged for setting in settings.values())
    assert protocol.warnings(report.load(ten_by_three)) == []


def test_another_number_of_iterations_is_flagged_first_with_its_runs(tmp_path):
    optimization = {"iterations": 800, "batch_size": 4, "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
    first, *_ = protocol.settings(study_with(tmp_path, optimization=optimization))
    assert first.key == "optimization.iterations"
    assert first.flagged
    assert sorted(first.values) == [("400", "fcn s0"), ("800", "ccnet s0")]


def test_the_mode_of_the_evaluation_is_not_the_mode_of_the_model(tmp_path):
    settings = protocol.settings(study_with(tmp_path, evaluation={"mode": "slide", "flip": False}))
    assert [setting.key for setting in settings if setting.flagged] == ["evaluation.mode"]


def test_a_setting_that_only_some_runs_have_is_flagged(tmp_path):
    first, *_ = protocol.settings(study_with(tmp_path, ohem=0.7))
    assert ("(not set)", "fcn s0") in first.values


def test_differences_of_scoring_and_machine_become_warnings(tmp_path):
    record = fabricate.run("fcn", 0, tmp_path / "a", images=0)
    scores = dataclasses.replace(record.scores, inference="sliding window")
    environment = dataclasses.replace(record.environment, torch="2.6.0")
    fabricate.run("ccnet", 0, tmp_path / "b", images=0, scores=scores, environment=environment)
    text = " ".join(protocol.warnings(report.load(tmp_path)))
    assert "differ in scoring: inference" in text
    assert "differ in environment: torch" in text


def test_unequal_numbers_of_seeds_are_a_warning(tmp_path):
    for index, (head, seed) in enumerate([("fcn", 0), ("fcn", 1), ("ccnet", 0)]):
        fabricate.run(head, seed, tmp_path / str(index), images=0)
    assert "different numbers of seeds" in " ".join(protocol.warnings(report.load(tmp_path)))


def test_a_setting_that_older_runs_did_not_have_is_flagged_where_it_is_used(tmp_path):
    def flagged(name, **second):
        return [s.key for s in protocol.settings(study_with(tmp_path / name, **second)) if s.flagged]

    usual = fabricate.run("fcn", 0, tmp_path / "usual", images=0).config["optimization"]
    assert flagged("off", optimization={**usual, "rare_class_sampling": 0.0}) == []
    assert flagged("on", optimization={**usual, "rare_class_sampling": 0.01}) == ["optimization.rare_class_sampling"]
    assert flagged("options", data={"name": "streets", "options": {"ignore": 0}})  # 0 is not the default of this one
