"""A real Slurm of one node: an array, requeue of one task alone, resume, cancel; skipped where there is none.

To have one, as root on Debian: apt-get install slurmd slurmctld slurm-client munge && bash tests/one_node_slurm.sh
"""

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from segattn.study.engines import slurm_queue, watching
from segattn.study.engines.slurm import Slurm
from segattn.study.engines.slurm_queue import in_queue, submitted
from segattn.study.engines.slurm_task import Task
from segattn.study.run import run_study
from segattn.study.status import cancel, status
from segattn.training.interruption import Interrupted
from tests.places import ROOT
from tests.study.engines.conftest import HEADS, SHORT, results

CPU = Slurm(jobs=1, cores_per_run=1, device="cpu", minutes=10, poll=0.5)


@pytest.fixture
def cluster(monkeypatch):
    """Slurm's queue, empty before and after."""
    pytest.importorskip("submitit")
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True).returncode != 0:
        pytest.skip("no Slurm here; see the first lines of this file")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(watching, "EVERY", 0.2)
    yield
    assert subprocess.run(["squeue", "--noheader", "--name=segattn"], capture_output=True).stdout == b""


def control(*words):
    subprocess.run(list(words), check=False, capture_output=True)


@pytest.mark.slow
def test_stopped_task_is_requeued_alone_and_all_records_are_those_of_an_undisturbed_study(cluster, study, tmp_path):
    long = dataclasses.replace(SHORT, optimization=dataclasses.replace(SHORT.optimization, iterations=40))
    signalled = []

    def note(event):
        if event.state == "progress" and event.job.name == "fcn-faithful-s0" and not signalled:
            signalled.append(submitted(tmp_path)["fcn-faithful-s0"])
            control("scancel", "--signal=USR2", signalled[0])
        elif event.state in ("started", "progress") and event.job.name == "reconet-faithful-s0":
            control("scontrol", "update", f"JobId={signalled[0]}", "StartTime=now")  # Slurm waits for two minutes

    events = study(CPU, config=long, on_event=note)
    states = [(event.job.name, event.state) for event in events if event.state != "progress"]
    assert states[:2] == [
        ("fcn-faithful-s0", "started"),
        ("reconet-faithful-s0", "started"),
    ]  # while the first one waits
    assert sorted(states[2:]) == [("fcn-faithful-s0", "finished"), ("reconet-faithful-s0", "finished")]
    log = next((tmp_path / "slurm").glob(f"{signalled[0]}_*_log.out")).read_text()
    assert "restart 0" in log
    assert "stopped by SIGTERM at iteration" in log
    assert "restart 1" in log
    in_this_process = tmp_path / "undisturbed"
    run_study(long, in_this_process, head_names=HEADS, device="cpu", on_notice=lambda line: None)
    assert results(tmp_path) == results(in_this_process)


@pytest.mark.slow
def test_interrupted_study_leaves_its_tasks_and_finds_them_again_and_cancel_ends_them(cluster, study, tmp_path):
    long = dataclasses.replace(SHORT, optimization=dataclasses.replace(SHORT.optimization, iterations=100_000))
    leaving = dataclasses.replace(CPU, leave=True)

    def interrupt(event):
        if event.state == "progress":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="its tasks stay in the queue; run the same command again"):
        study(leaving, config=long, on_event=interrupt)
    before = submitted(tmp_path)
    stopped, notices = [], []

    def stop(event):
        if event.state == "progress" and not stopped:
            stopped.append(threading.Thread(target=cancel, args=(tmp_path,)))
            stopped[0].start()

    with pytest.raises(Interrupted, match="cancelled"):
        study(leaving, config=long, on_event=stop, on_notice=notices.append)
    stopped[0].join()
    assert "2 tasks of this study are in Slurm's queue already" in notices
    assert submitted(tmp_path) == before
    assert [run.state for run in status(tmp_path)] == ["interrupted", "waiting"]


@pytest.mark.long
def test_task_is_requeued_by_its_time_limit(cluster, study, tmp_path):
    """Slurm's shortest limit is a minute; it sends the signal between 20 s and 80 s before the end."""
    long = dataclasses.replace(SHORT, optimization=dataclasses.replace(SHORT.optimization, iterations=100_000))
    limited = dataclasses.replace(CPU, minutes=1, options={"signal_delay_s": 20})
    restarted = []

    def note(event):
        (task,) = submitted(tmp_path).values()
        logs = "".join(path.read_text() for path in (tmp_path / "slurm").glob("*_log.out"))
        if "restart 1" in logs and not restarted:
            restarted.append(threading.Thread(target=cancel, args=(tmp_path,)))
            restarted[0].start()
        elif "stopped by SIGTERM at iteration" in logs:
            control("scontrol", "update", f"JobId={task}", "StartTime=now")  # Slurm waits for two minutes

    with pytest.raises(Interrupted, match="cancelled"):
        study(limited, config=long, heads=("fcn",), on_event=note)
    restarted[0].join()
    (log,) = (tmp_path / "slurm").glob("*_log.out")
    first, again = log.read_text().split("restart 1")
    stopped = int(re.search(r"stopped by SIGTERM at iteration (\d+)", first)[1])
    assert stopped > 0
    assert int(re.search(r"at iteration (\d+)", again)[1]) >= stopped  # it went on from there


def test_missing_extra_and_missing_slurm_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    pytest.importorskip("submitit")
    with pytest.raises(
        ValueError, match=r"there is no Slurm here \(no command sbatch, squeue, scancel, scontrol\); start"
    ):
        CPU.check()
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ValueError, match=r"pip install 'segattn\[slurm\]'"):
        CPU.check()


@pytest.mark.parametrize(
    ("output", "status", "error", "queued"),
    [
        ("7_0\n7_1\n9\n", 0, "", {"7_0", "9"}),
        ("", 1, "slurm_load_jobs error: Invalid job id specified", set()),
        ("", 1, "slurm_load_jobs error: Unable to contact slurm controller", {"7_0", "7_2", "9"}),
    ],
)
def test_controller_that_does_not_answer_has_lost_no_task(monkeypatch, output, status, error, queued):
    done = subprocess.CompletedProcess([], status, output, error)
    monkeypatch.setattr(slurm_queue.subprocess, "run", lambda *words, **options: done)
    assert in_queue(["7_0", "7_2", "9"]) == queued


def test_submit_hook_gives_the_same_job_again():
    pytest.importorskip("submitit")
    again = Task(2, 8).checkpoint("a job")
    assert (type(again.function), again.args) == (Task, ("a job",))


def test_only_names_of_tasks_are_taken_from_the_file(tmp_path):
    (tmp_path / "slurm").mkdir()
    tasks = {"a": "12_3", "b": "--user=me", "c": "12; ls", "d": 7, "e": "12_3\n", "f": None, "g": "", "h": ["12"]}
    (tmp_path / "slurm/jobs.json").write_text(json.dumps(tasks))
    assert submitted(tmp_path) == {"a": "12_3", "d": "7"}
