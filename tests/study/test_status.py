"""States are told from files as other processes leave them."""

import json
import os
import time

import pytest

from segattn import records
from segattn.study import failures, folder
from segattn.study.status import cancel, counts, status
from tests import tiny


@pytest.fixture
def study(tmp_path):
    """The folder of a planned study of three runs of 10 iterations."""
    runs = {f"fcn-faithful-s{seed}": tiny.experiment(seed=seed, optimization={"iterations": 10}) for seed in range(3)}
    folder.write(tmp_path, runs)
    return tmp_path


def log(out, seed, *lines):
    run = out / f"fcn-faithful-s{seed}"
    run.mkdir(exist_ok=True)
    (run / "log.jsonl").write_bytes(b"".join(line if isinstance(line, bytes) else point(*line) for line in lines))
    return run


def point(iteration, seconds, mean_iou=None):
    return (
        json.dumps({"iteration": iteration, "loss": 2.5, "lr": 0.1, "seconds": seconds, "mean_iou": mean_iou}).encode()
        + b"\n"
    )


def test_run_without_files_waits(study):
    assert counts(status(study)) == {"waiting": 3}


def test_run_whose_lease_is_held_is_running_at_the_speed_of_its_log(study):
    run = log(study, 1, (1, 360.0), (4, 1440.0, 0.25))
    with records.Lease(run):
        each = status(study)[1]
    assert (each.state, each.iteration, each.iterations, each.loss, each.mean_iou) == ("running", 4, 10, 2.5, 0.25)
    assert each.hours_left == pytest.approx(6 * 360 / 3600)
    assert each.host


def test_run_that_nobody_trains_is_interrupted(study):
    log(study, 0, (2, 1.0))
    (each, *_) = status(study)
    assert (each.state, each.iteration) == ("interrupted", 2)


def test_line_that_is_being_written_does_not_count(study):
    log(study, 0, (2, 1.0), b'{"iteration": 3, "loss": 2.')
    assert status(study)[0].iteration == 2
    log(study, 0, b"\0\xff\n")
    assert status(study)[0].iteration == 0


def test_lease_of_a_dead_process_or_an_old_heartbeat_is_no_running(study):
    run = log(study, 0, (2, 1.0))
    lease = records.Lease(run)
    lease.acquire()
    raw = lease.path.read_text()
    lease.release()
    lease.path.write_text(raw.replace(str(os.getpid()), "999999999"))
    assert status(study)[0].state == "interrupted"
    lease.path.write_text(raw)
    assert status(study)[0].state == "running"
    os.utime(lease.path, (time.time() - 300,) * 2)
    assert status(study)[0].state == "interrupted"


def test_failed_run_says_why_until_it_starts_again(study):
    run = study / "fcn-faithful-s2"
    failures.write([run], "its process was ended by SIGKILL", 3, "node7")
    each = status(study)[2]
    assert (each.state, each.host, each.message) == ("failed", "node7", "its process was ended by SIGKILL")
    failures.clear([run])
    assert status(study)[2].state == "waiting"


def test_failure_of_a_finished_run_is_not_noted(study):
    run = log(study, 0, (10, 5.0))
    (run / "record.json").write_text("{}")
    failures.write([run], "late", 1)
    assert not (run / failures.FILE).exists()


def test_damaged_record_is_no_finished_run(study):
    run = log(study, 0, (10, 5.0))
    (run / "record.json").write_text('{"kind": "run"')
    assert status(study)[0].state == "interrupted"


def test_cancel_leaves_its_mark_and_waits_until_nobody_runs(study):
    run = log(study, 0, (2, 1.0))
    with records.Lease(run):
        began = time.monotonic()
        assert counts(cancel(study, wait=0.3, poll=0.1))["running"] == 1
        assert time.monotonic() - began >= 0.3
    assert counts(cancel(study)) == {"interrupted": 1, "waiting": 2}
    assert (study / folder.CANCEL).exists()


def test_cancel_of_no_study_is_refused_and_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"has no plan\.json; give the folder of a study"):
        cancel(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(20)
def test_pipes_in_place_of_files_are_no_state(study):
    run = study / "fcn-faithful-s0"
    run.mkdir()
    for name in ("log.jsonl", "record.json", "failure.json"):
        os.mkfifo(run / name)
    assert status(study)[0].state == "waiting"
