"""A job is plain JSON, says what can change a result, and is refused by a machine that cannot execute it as it was meant."""

import dataclasses
import os
import signal

import pytest

from segattn import config as configuration
from segattn.study import job as module
from segattn.study.folder import CANCEL
from segattn.study.job import Job, decoded, execute, unless_cancelled
from segattn.study.jobs import features_key, groups, jobs_of, shares_a_batch
from segattn.training.interruption import Interrupted
from segattn.training.run import Progress
from tests import tiny


@pytest.fixture
def job(tmp_path):
    return Job(runs=[("fcn-faithful-s0", configuration.to_dict(tiny.TINY))], out=str(tmp_path), device="cpu")


def test_job_is_one_line_of_json(job):
    text = job.encoded()
    assert "\n" not in text
    assert decoded(text) == job
    assert decoded(text).folders == job.folders


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "0.0.9"}, r"has segattn .*, and the study was started with 0\.0\.9; install the same version"),
        ({"folder": "/no/such/folder"}, "has no folder /no/such/folder, the study's working directory"),
        (
            {"token": ".seen-1"},
            "does not see the study's folder .* give an --out on a file system that all machines share",
        ),
    ],
)
def test_machine_that_cannot_execute_it_is_named_and_nothing_is_written(job, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        execute(dataclasses.replace(job, **changes))
    assert list(tmp_path.iterdir()) == []


def test_cancelled_study_begins_no_job(job, tmp_path):
    (tmp_path / CANCEL).touch()
    with pytest.raises(Interrupted, match="cancelled"):
        execute(job)
    assert [path.name for path in tmp_path.iterdir()] == [CANCEL]


def test_cancelling_is_one_signal(tmp_path, monkeypatch):
    received, seen, clock = [], [], iter(range(0, 1000, 2))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        report = unless_cancelled(tmp_path, seen.append)
        report(Progress("train", 1, 5))
        assert received == []
        (tmp_path / CANCEL).touch()
        for done in (2, 3, 4):
            report(Progress("train", done, 5))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert [progress.done for progress in seen] == [1, 2, 3, 4]


def runs_of(*configs):
    return {f"{run.model.head}-{run.seed}-{number}": run for number, run in enumerate(configs)}


FROZEN = {"train": "head"}
RUNS = runs_of(*(tiny.experiment(head, seed=seed, optimization=FROZEN) for seed in (0, 1) for head in ("fcn", "ccnet")))


def jobs(runs, splits, waiting=None):
    waiting = runs if waiting is None else {name: runs[name] for name in waiting}
    return jobs_of(
        waiting, runs, module.Path("out"), device="cpu", num_workers=1, features=module.Path("maps"), splits=splits
    )


def test_each_run_is_a_job_where_nothing_is_shared():
    made = jobs(RUNS, None, waiting=["ccnet-1-3"])
    assert [[folder for folder, _ in job.runs] for job in made] == [["ccnet-1-3"]]
    assert (made[0].features, made[0].num_workers, made[0].folder) == (None, 1, os.getcwd())


def test_stored_maps_are_those_of_all_heads_whichever_wait():
    (job,) = jobs(RUNS, "both", waiting=["fcn-0-0"])
    assert [raw["model"]["head"] for raw in job.features.heads] == ["fcn", "ccnet"]


def test_heads_of_a_seed_are_one_job_where_maps_do_not_fit():
    made = jobs(RUNS, "none", waiting=["ccnet-0-1", "fcn-1-2"])
    assert [[folder for folder, _ in job.runs] for job in made] == [["fcn-0-0", "ccnet-0-1"], ["fcn-1-2", "ccnet-1-3"]]
    assert made[0].name == "2 heads side by side, fcn-0-0 first"


def test_runs_share_a_batch_if_only_their_head_differs():
    first, other, later, _ = RUNS.values()
    assert shares_a_batch(first, other)
    assert not shares_a_batch(first, later)
    assert not shares_a_batch(first, tiny.experiment("ccnet", optimization={**FROZEN, "lr": 1.0}))


def test_maps_are_shared_unless_a_setting_changes_them():
    same = [*RUNS.values(), tiny.experiment(optimization={**FROZEN, "lr": 1.0, "iterations": 9})]
    other = [
        tiny.experiment(optimization=FROZEN, augmentation={"flip": 0.0}),
        tiny.experiment(optimization={"train": "all"}),
    ]
    assert [len(group) for group in groups(runs_of(*same, *other), features_key).values()] == [5, 1, 1]


def test_trackers_are_those_of_the_study_in_every_job(tmp_path):
    settings = {"device": "cpu", "num_workers": 0, "features": tmp_path, "splits": None}
    (job,) = jobs_of({"a": tiny.TINY}, {"a": tiny.TINY}, tmp_path, **settings, track=("wandb", "trackio"))
    assert decoded(job.encoded()).track == ["wandb", "trackio"]
    (job,) = jobs_of({"a": tiny.TINY}, {"a": tiny.TINY}, tmp_path, **settings)
    assert decoded(job.encoded()).track is None
