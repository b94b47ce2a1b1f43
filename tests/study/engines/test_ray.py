"""The real Ray: retries a job whose process was killed, with the same records, and leaves no processes."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from segattn.study.engines.ray import Ray
from segattn.study.failures import RunsFailed
from tests.study.engines.conftest import results

CPU = Ray(jobs=1, cores_per_run=1, device="cpu")


def parents(pid):
    """The processes above one, from itself upwards."""
    while pid > 1:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def below(pid, name=b""):
    """Processes that this one has started, and those that they have, with a word in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if name in (entry / "cmdline").read_bytes() and pid in list(parents(int(entry.name)))[1:]:
                found.append(int(entry.name))
    return found


def run_on_ray(study, *arguments, **options):
    """Run the study, or skip the test where Ray itself does not start."""
    try:
        return study(*arguments, **options)
    except ValueError as error:
        if "Ray does not start on this machine" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.long
def test_killed_job_is_tried_again_and_all_records_are_those_of_an_undisturbed_study(
    study, tmp_path, undisturbed, monkeypatch
):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("segattn.study.engines.watching.EVERY", 0.1)
    killed = []

    def note(event):
        if event.state in ("started", "progress") and not killed:
            killed.extend(below(os.getpid(), b"ray::_task"))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    events = run_on_ray(study, CPU, on_event=note)
    assert len(killed) == 1
    states = [event.state for event in events if event.state != "progress"]
    assert states.count("retried") == 1
    assert states.count("finished") == 2
    assert results(tmp_path) == undisturbed
    assert below(os.getpid(), b"ray") == []
    assert not list(tmp_path.glob(".seen-*"))


@pytest.mark.parametrize(
    ("engine", "resources", "message"),
    [
        (Ray(cores_per_run=5), {"CPU": 4.0}, "--cores-per-run 5: Ray has 4 cores here"),
        (Ray(gpus_per_run=1), {"CPU": 4.0}, "--gpus-per-run 1: Ray has 0 GPUs here"),
        (Ray(gpus_per_run=1, device="cpu"), {"CPU": 4.0, "GPU": 2.0}, "--gpus-per-run 1: Ray has 0 GPUs here"),
    ],
)
def test_what_the_cluster_has_not_is_named(engine, resources, message):
    with pytest.raises(ValueError, match=message):
        engine._options(resources)


@pytest.mark.parametrize(
    ("engine", "resources", "asked"),
    [
        (Ray(), {"CPU": 4.0}, (1, 0.0)),
        (Ray(), {"CPU": 16.0, "GPU": 4.0}, (4, 1.0)),
        (Ray(device="cpu"), {"CPU": 16.0, "GPU": 4.0}, (1, 0.0)),
        (Ray(cores_per_run=2, gpus_per_run=0.5), {"CPU": 16.0, "GPU": 4.0}, (2, 0.5)),
    ],
)
def test_cores_go_with_gpus_unless_said_otherwise(engine, resources, asked):
    options, threads = engine._options(resources)
    assert (options["num_cpus"], options["num_gpus"]) == asked
    assert threads == asked[0]


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (Ray(jobs=0), "--jobs 0: at least 1"),
        (Ray(cores_per_run=0), "--cores-per-run 0: at least 1"),
        (Ray(gpus_per_run=2), "which uses one GPU; give 0 to 1"),
    ],
)
def test_number_that_makes_no_sense_is_refused(engine, message):
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match=message):
        engine.check()


def test_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'segattn\[ray\]'"):
        CPU.check()


def test_cluster_that_does_not_answer_is_named(study, monkeypatch):
    ray = pytest.importorskip("ray")

    def refuse(**settings):
        assert settings["address"] == "node1:6379"
        raise ConnectionError("nobody there\nmore")

    monkeypatch.setenv("RAY_ADDRESS", "node1:6379")
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ValueError, match=r"Ray does not answer at RAY_ADDRESS=node1:6379; .*\(nobody there\)"):
        study(CPU)


class Results:
    """In place of ray: the outcome of each attempt, in order."""

    def __init__(self, monkeypatch, *outcomes):
        self.outcomes, self.asked = list(outcomes), []
        ray = pytest.importorskip("ray")
        monkeypatch.setattr(ray, "remote", lambda function: self)
        monkeypatch.setattr(ray, "wait", lambda references, timeout: (references[:1], references[1:]))
        monkeypatch.setattr(ray, "get", self.get)

    def options(self, **options):
        return self

    @property
    def remote(self):
        class Task:
            @staticmethod
            def remote(text):
                return text

        return Task.remote

    def get(self, reference):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return {"notices": [], "host": "node2", "text": "", **outcome}


def test_job_that_is_lost_three_times_has_failed_and_a_mistake_at_once(study, monkeypatch):
    ray = pytest.importorskip("ray")
    lost = ray.exceptions.WorkerCrashedError()
    Results(monkeypatch, lost, lost, lost, {"kind": "failed", "text": "the loss is nan", "final": True})
    monkeypatch.setattr(Ray, "_connected", lambda engine: contextlib.nullcontext({"CPU": 1.0}))
    with pytest.raises(
        RunsFailed, match=r"2 of 2 runs failed: fcn.*WorkerCrashedError: .*\(3 attempts\); reconet.*loss is nan"
    ):
        study(CPU)
