"""A probe with networks of a few iterations: resumed, recorded, and blind where it should be."""

from dataclasses import replace

import numpy as np
import pytest

from segattn import experiments
from segattn.records.probes import read_probe
from segattn.study.engines import Event
from segattn.study.failures import RunsFailed
from segattn.study.probes import plan, record
from segattn.study.probes.plan import Plan, Probe, Variant
from segattn.study.probes.proof import prove
from segattn.study.probes.record import scores, write_record
from segattn.study.probes.run import run_probes

BASE = experiments.load("probe")


@pytest.fixture
def small(monkeypatch):
    """Two tasks of two networks and a seed."""
    networks = (Variant("fcn", "fcn"), Variant("ccnet R=1", "ccnet", {"recurrence": 1}))
    tiny = {task: Probe(task, 3, networks, maps=task == "noise") for task in ("noise", "thin")}
    monkeypatch.setattr(plan, "PROBES", tiny)
    monkeypatch.setattr(record, "PROBES", tiny)
    base = replace(BASE, data=replace(BASE.data, train_images=20, val_images=20))
    return Plan(base=base, tasks=("noise", "thin"), seeds=1)


@pytest.mark.slow
def test_records_say_what_every_network_reached_and_runs_are_not_repeated(small, tmp_path):
    said, names = [], []
    paths = run_probes(small, tmp_path, device="cpu", on_notice=said.append, command="segattn study probes")
    assert [path.name for path in paths] == ["noise.json", "thin.json"]
    noise, thin = map(read_probe, paths)
    assert (noise.measure, noise.chance, noise.sees, noise.missing) == ("accuracy", 0.5, 35, [])
    blind = noise.runs[0]
    assert blind.variant == "fcn"
    assert set(blind.scores.values()) == {0.5}  # each pair is right once
    assert blind.purity == {}
    (purity,) = {tuple(sorted(run.purity)) for run in noise.runs if run.variant == "ccnet R=1"}
    assert purity
    assert noise.uniform_purity == pytest.approx(dict.fromkeys(blind.scores, 8 / 256))
    assert (thin.measure, thin.uniform_purity) == ("iou", {})
    assert all(score <= 1 / 3 + 1e-9 for score in thin.runs[0].scores.values())
    assert len(said) == len(set(said))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/record.json")}
    run_probes(small, tmp_path, device="cpu", on_position=lambda position: names.append(position.name))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/record.json")} == before
    assert len(names) == 4


@pytest.mark.slow
def test_a_record_names_the_runs_that_are_missing(small, tmp_path):
    run_probes(replace(small, tasks=("thin",)), tmp_path, device="cpu")
    more = replace(small, tasks=("thin",), seeds=2)
    path = write_record(more, "thin", tmp_path, prove(next(iter(more.runs().values()))))
    assert read_probe(path).missing == ["fcn, seed 1", "ccnet R=1, seed 1"]
    assert write_record(more, "noise", tmp_path, (35, [])) is None


def test_scores_are_accuracy_of_the_query_or_the_iou_of_both_classes(tmp_path):
    counts = np.array([[[8, 2], [4, 6]], [[10, 0], [0, 10]]])
    np.savez(tmp_path / "two.npz", confusion=counts, names=np.array(["a-1-000000-a", "a-2-000001-a"]))
    with pytest.raises(
        ValueError, match=r"gone/per_image\.npz: No such file .*; remove .*gone, and the study's command"
    ):
        scores(tmp_path / "gone/per_image.npz")
    assert scores(tmp_path / "two.npz") == {"a-1": 14 / 20, "a-2": 1.0}
    three = np.array([[[8, 2, 0], [4, 6, 0], [3, 0, 97]]])
    np.savez(tmp_path / "three.npz", confusion=three, names=np.array(["width-1-000000-a"]))
    assert scores(tmp_path / "three.npz") == {"width-1": pytest.approx((8 / 17 + 6 / 12) / 2)}


@pytest.mark.slow
def test_an_unfit_backbone_is_refused_before_anything_is_written(small, tmp_path):
    base = replace(small.base, model=replace(small.base.model, backbone="resnet18", backbone_options={"width": 2}))
    with pytest.raises(ValueError, match="choose a backbone with a smaller field, such as patches"):
        run_probes(replace(small, base=base), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


class Failing:
    """An engine on which every job fails."""

    def check(self):
        """It can work."""

    def run(self, jobs, *, on_event, on_notice):
        """Fail."""
        for job in jobs:
            on_event(Event(job, "failed", message="no more memory"))


@pytest.mark.slow
def test_runs_that_failed_are_named_and_no_success(small, tmp_path):
    with pytest.raises(
        RunsFailed, match=r"^2 of 2 runs failed: thin-fcn-s0.*no more memory; thin-ccnet-R-1-s0.*no more memory$"
    ):
        run_probes(replace(small, tasks=("thin",)), tmp_path, device="cpu", engine=Failing())
