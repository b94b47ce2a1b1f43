import pytest
import torch

from segattn.study.engines import shares as module
from segattn.study.engines.shares import Share, gpus_here, shares


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many cores and GPUs."""

    def has(cores, gpus=()):
        monkeypatch.setattr(module, "cores_here", lambda: cores)
        monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
        monkeypatch.setattr(module, "gpus_here", lambda: list(gpus))

    return has


@pytest.mark.parametrize(("cores", "jobs", "threads"), [(8, 3, 2), (8, 1, 8), (2, 5, 1)])
def test_cores_are_shared_equally_and_none_gets_less_than_one(machine, cores, jobs, threads):
    machine(cores)
    assert shares(jobs) == [Share(threads, None)] * jobs


def test_gpus_are_named_one_for_each_job(machine):
    machine(8, gpus=("4", "GPU-7"))
    assert [share.gpus for share in shares(2)] == [("4",), ("GPU-7",)]


def test_jobs_that_share_gpus_are_spread_before_two_are_on_one(machine):
    machine(8, gpus=("0", "1"))
    assert [share.gpus for share in shares(3, gpus_per_run=0.5)] == [("0",), ("1",), ("0",)]
    assert [share.gpus for share in shares(3, gpus_per_run=0.3)] == [("0",), ("1",), ("0",)]


def test_jobs_on_the_cpu_see_no_gpu_that_is_there(machine):
    machine(8, gpus=("0",))
    assert shares(1, gpus_per_run=0)[0].gpus == ()
    assert shares(1, device="cpu")[0].gpus is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "--jobs 0: at least 1"),
        ({"jobs": 1, "cores_per_run": 5}, "--cores-per-run 5: this machine has 4; give 1 to 4"),
        ({"jobs": 1, "cores_per_run": 0}, "--cores-per-run 0"),
        ({"jobs": 1, "gpus_per_run": 3}, "--gpus-per-run 3: this machine has 2; give at most that"),
        ({"jobs": 1, "gpus_per_run": 2}, "a run of this engine is one process, which uses one GPU"),
        ({"jobs": 1, "gpus_per_run": -1}, "--gpus-per-run -1: 0 or more"),
        ({"jobs": 3}, "--jobs 3 with --gpus-per-run 1 needs more than the 2 GPUs .* give --jobs 2, .* such as 0.67"),
        ({"jobs": 1, "gpus_per_run": 1, "device": "cpu"}, "--device cpu uses none"),
        ({"jobs": 1, "gpus_per_run": 0, "device": "cuda"}, "leaves no GPU for --device cuda"),
    ],
)
def test_what_the_machine_has_not_is_named(machine, options, message):
    machine(4, gpus=("0", "1"))
    with pytest.raises(ValueError, match=message):
        shares(**options)


def test_visible_gpus_keep_their_names(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert gpus_here() == ["3", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus_here() == ["0", "1"]
