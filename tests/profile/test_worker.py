"""Processes that do as they are told, and say how they ended."""

from __future__ import annotations

import time

import pytest

from segattn.profile.worker import Worker, kind_of

PIECES = "tests.profile.pieces"


def _outcome(name: str, **arguments: object):
    with Worker(f"{PIECES}:{name}", arguments, timeout=60) as worker:
        built = worker.build()
        return worker.time() if built.ok else built


def test_a_process_runs_again_and_again_after_one_warm_up_and_may_print():
    with Worker(f"{PIECES}:warmed", {}) as worker:
        assert worker.build().ok
        assert [worker.time().kind for _ in range(3)] == ["ok"] * 3


def test_seconds_are_those_of_the_run():
    outcome = _outcome("sleeping", seconds=0.11)
    assert 0.11 <= outcome.values["seconds"] < 1


def test_short_runs_are_timed_awake():
    """The first run after a rest is not the one that counts."""
    outcome = _outcome("waking", first=0.04, later=0.001)
    assert 0.001 <= outcome.values["seconds"] < 0.02


def test_an_error_is_an_outcome_with_its_type():
    outcome = _outcome("broken")
    assert (outcome.kind, outcome.message) == ("failed", "ZeroDivisionError: integer division or modulo by zero")


def test_a_process_that_was_killed_is_out_of_memory_as_the_system_ends_it():
    assert _outcome("killed", by="SIGKILL").kind == "out of memory"


def test_a_process_that_crashed_names_the_signal():
    outcome = _outcome("killed", by="SIGSEGV")
    assert outcome.kind == "failed"
    assert "SIGSEGV" in outcome.message


def test_a_process_that_does_not_answer_is_ended():
    with Worker(f"{PIECES}:sleeping", {"seconds": 60}, timeout=5) as worker:
        assert worker.build().ok
        worker.timeout, begun = 0.2, time.monotonic()
        outcome = worker.time()
    assert (outcome.kind, outcome.message) == ("failed", "no answer within 0.2 s")
    assert time.monotonic() - begun < 5


@pytest.mark.slow
def test_threads_are_those_of_the_process():
    with Worker(f"{PIECES}:threads", {}, threads=1) as worker:
        assert worker.build().message == "1 threads"


def test_a_target_that_is_not_there_is_named():
    with Worker(f"{PIECES}:absent", {}) as worker:
        assert "absent" in worker.build().message


def test_a_target_of_another_form_is_refused():
    with pytest.raises(ValueError, match="should be 'module:function'"):
        Worker("tests.profile.pieces.fill", {})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out of memory"),
        (ValueError("size 5"), "refused"),
        (TypeError("size 5"), "failed"),
    ],
)
def test_kinds_of_errors(error: BaseException, kind: str):
    assert kind_of(error) == kind
