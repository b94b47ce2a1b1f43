"""Memory of work whose need is known: buffers of so many MB."""

from __future__ import annotations

from pathlib import Path

import pytest

from segattn.profile import in_use, memory

pytestmark = pytest.mark.slow

PIECES = "tests.profile.pieces"
MEGABYTE = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")


@linux
def test_extra_is_what_the_run_fills_and_total_has_what_was_built():
    measured = memory.measure(f"{PIECES}:fill", {"megabytes": 97, "held": 41}, threads=1)
    assert measured.outcome == "ok"
    assert measured.method == in_use.RESIDENT
    assert measured.extra_bytes == pytest.approx(97 * MEGABYTE, abs=2 * MEGABYTE)  # pages of code that first runs
    assert measured.total_bytes == pytest.approx((97 + 41) * MEGABYTE, abs=5 * MEGABYTE)


@linux
def test_a_run_smaller_than_the_building_is_not_hidden_by_it():
    measured = memory.measure(f"{PIECES}:fill", {"megabytes": 13, "held": 101}, threads=1)
    assert measured.extra_bytes == pytest.approx(13 * MEGABYTE, abs=2 * MEGABYTE)


@linux
def test_peak_is_over_all_runs():
    measured = memory.measure(f"{PIECES}:grow", {"megabytes": 11}, threads=1, runs=3)
    assert measured.extra_bytes == pytest.approx(33 * MEGABYTE, abs=2 * MEGABYTE)


@linux
def test_more_than_the_limit_is_out_of_memory_and_says_how_much_was_asked_for():
    measured = memory.measure(f"{PIECES}:fill", {"megabytes": 300}, threads=1, limit_bytes=200 * MEGABYTE)
    assert measured.outcome == "out of memory"
    assert measured.message == "tried to allocate 300.0 MiB at once"
    assert measured.extra_bytes is None


@linux
def test_less_than_the_limit_is_ok():
    measured = memory.measure(f"{PIECES}:fill", {"megabytes": 150}, threads=1, limit_bytes=200 * MEGABYTE)
    assert measured.outcome == "ok"


def test_refused_has_the_message_of_the_value_error():
    measured = memory.measure(f"{PIECES}:refused", {"size": 5})
    assert (measured.outcome, measured.message) == ("refused", "size 5 should be at least 7")
    assert measured.peak_bytes is None


def test_available_is_at_most_what_the_machine_has():
    total = in_use._kilobytes("/proc/meminfo", "MemTotal")
    assert 0 < in_use.available() <= (total or 8 * 10**9)
