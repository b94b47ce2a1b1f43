"""Worker processes: the same records as without them, replaced when they die, and no orphans."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segattn import records
from segattn.study import failures
from segattn.study.engines.local import Local
from segattn.study.failures import RunsFailed
from segattn.study.folder import CANCEL
from segattn.study.status import status
from segattn.training.interruption import Interrupted
from tests.places import ROOT
from tests.study.engines.conftest import HEADS, SHORT, results

pytestmark = pytest.mark.slow
CPU = Local(jobs=1, device="cpu", cores_per_run=1)


def states(events, name=None):
    return [event.state for event in events if event.state != "progress" and name in (None, event.job.name)]


def workers():
    """Process numbers of this process's workers."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if b"engines.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def kill_once(where):
    """An observer that kills the worker when it is at a step of a run, once."""
    killed = []

    def note(event):
        name, step = where  # progress is told now and then, not at every step
        if event.state == "progress" and event.job.name == name and event.progress.done >= step and not killed:
            killed.extend(workers())
            os.kill(killed[0], signal.SIGKILL)

    return note


def test_records_are_those_of_a_study_without_workers_though_one_was_killed(study, tmp_path, undisturbed):
    events = study(CPU, on_event=kill_once(("fcn-faithful-s0", 4)))
    assert results(tmp_path) == undisturbed
    assert states(events, "fcn-faithful-s0") == ["started", "retried", "started", "finished"]
    assert states(events, "reconet-faithful-s0") == ["started", "finished"]
    (retried,) = [event for event in events if event.state == "retried"]
    assert "its process was ended by SIGKILL (out of memory?)" in retried.message
    after = [event for event in events[events.index(retried) :] if event.state == "progress"]
    steps = [
        event.progress.done for event in after if (event.job.name, event.progress.stage) == ("fcn-faithful-s0", "train")
    ]
    assert min(step for step in steps if step) >= 4  # what was killed did not begin again
    assert workers() == []
    assert not (tmp_path / "logs").exists()
    assert [each.state for each in status(tmp_path)] == ["finished"] * 2


def test_run_that_fails_is_named_and_the_others_go_on(study, tmp_path):
    (tmp_path / "fcn-faithful-s0").write_text("a file where a folder should be")
    with pytest.raises(RunsFailed, match=r"1 of 2 runs failed: fcn-faithful-s0: .* is a file"):
        study(CPU)
    assert records.read(tmp_path / "study.json").runs == ["reconet-faithful-s0/record.json"]


DYING = """
import os
from segattn.heads import fcn

class Head(fcn.Head):
    def forward(self, features):
        if self.training and features[0].device.type != "meta":
            os._exit(3)
        return super().forward(features)
"""


@pytest.mark.long
def test_job_that_dies_three_times_has_failed(study, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "mylab").mkdir(parents=True)
    (home / "mylab/dying.py").write_text(DYING)
    monkeypatch.chdir(home)
    with pytest.raises(
        RunsFailed, match=r"mylab-dying-faithful-s0: its process ended with exit code 3; .*\(3 attempts\)"
    ):
        study(CPU, heads=("mylab.dying",))
    (run,) = status(tmp_path)
    assert (run.state, failures.read(tmp_path / run.name).attempts) == ("failed", 3)
    assert "exit code 3" in run.message


@pytest.mark.long
def test_interrupted_study_stops_its_worker_at_a_checkpoint_and_resumes(study, tmp_path, undisturbed):
    sent = []

    def interrupt(event):
        if event.state == "progress" and event.progress.stage == "train" and event.progress.done >= 3 and not sent:
            sent.append(event)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped by SIGTERM; run the same command again"):
        study(CPU, on_event=interrupt)
    assert workers() == []
    first, second = status(tmp_path)
    assert (first.state, second.state) == ("interrupted", "waiting")
    assert first.iteration >= 3
    study(CPU)
    assert results(tmp_path) == undisturbed


@pytest.mark.long
def test_cancelled_study_stops_and_can_be_started_again(study, tmp_path, undisturbed):
    def cancel(event):
        if event.state == "progress" and event.progress.done >= 2:
            (tmp_path / CANCEL).touch()

    with pytest.raises(Interrupted, match="cancelled"):
        study(CPU, on_event=cancel)
    assert "finished" not in [each.state for each in status(tmp_path)][1:]
    study(CPU)
    assert results(tmp_path) == undisturbed
    assert not (tmp_path / CANCEL).exists()


PARENT = """
import sys
from segattn.study.engines.local import Local
from segattn.study import run
run.reference_costs = lambda names, mode: []
from tests.study.engines.conftest import HEADS, SHORT
from dataclasses import replace
long = replace(SHORT, optimization=replace(SHORT.optimization, iterations=100_000))
def note(event):
    if event.state == "progress" and event.progress.done > 1:
        print(event.progress.done, flush=True)
run.run_study(long, sys.argv[1], head_names=HEADS[:1], device="cpu", engine=Local(device="cpu"), on_event=note)
"""


@pytest.mark.long
def test_worker_ends_when_its_parent_is_killed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout.readline().strip().isdigit()
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    (worker,) = [pid for pid in children if b"engines.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    parent.kill()
    parent.wait()
    for _ in range(300):
        if not Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.2)
    assert not Path(f"/proc/{worker}").exists()
    (run,) = status(tmp_path)
    assert run.state == "interrupted"  # at a checkpoint of its last step, and its lease is released
    assert not (tmp_path / run.name / ".lease").exists()


@pytest.mark.long
def test_heads_of_a_seed_side_by_side_are_one_job(tmp_path, study):
    from dataclasses import replace

    from segattn.training.train import train

    trunk = tmp_path / "trunk"
    train(
        replace(SHORT, model=replace(SHORT.model, mode="controlled")), trunk, device="cpu", on_notice=lambda line: None
    )
    frozen = replace(
        SHORT,
        model=replace(SHORT.model, mode="controlled", pretrained=str(trunk), init_head="trunk"),
        optimization=replace(SHORT.optimization, train="head", iterations=2),
    )
    events = study(CPU, config=frozen, features_limit=1000)
    assert states(events, "2 heads side by side, fcn-controlled-s0 first") == ["started", "finished"]
    stored = study(CPU, config=frozen, seeds=(1,))
    assert states(stored) == ["started", "finished"] * 2
    assert (tmp_path / "features").is_dir()
    assert len(HEADS) == len(records.read(tmp_path / "study.json").runs)
