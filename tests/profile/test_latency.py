"""Rounds over workers that only write down when they ran."""

from __future__ import annotations

import time

import pytest

from segattn.profile.latency import in_turns, quantile
from segattn.profile.worker import Outcome


class Clock:
    """Stands for a worker: each run takes `seconds` on paper, and it fails from run `dies` on."""

    def __init__(self, log, name, seconds=1.0, dies=None, takes=0.0):
        self.log, self.name, self.seconds, self.dies, self.takes = log, name, seconds, dies, takes
        self.runs, self.closed = 0, False

    def time(self):
        self.log.append(self.name)
        self.runs += 1
        time.sleep(self.takes)
        if self.dies is not None and self.runs >= self.dies:
            return Outcome("failed", "gone")
        return Outcome("ok", values={"seconds": self.seconds * self.runs})

    def close(self):
        self.closed = True


def test_each_round_has_every_worker_once_in_an_order_of_its_own():
    log: list[str] = []
    in_turns({name: Clock(log, name) for name in "abcde"}, rounds=11, warmup=2)
    rounds = [tuple(log[start : start + 5]) for start in range(0, len(log), 5)]
    assert len(rounds) == 13
    assert all(sorted(one) == list("abcde") for one in rounds)
    assert len(set(rounds)) > 6


def test_order_is_drawn_from_the_seed():
    logs: list[list[str]] = [[], [], []]
    for log, seed in zip(logs, (3, 3, 4), strict=True):
        in_turns({name: Clock(log, name) for name in "abcde"}, rounds=5, seed=seed)
    assert logs[0] == logs[1] != logs[2]


def test_warm_up_is_not_kept():
    timed = in_turns({"a": Clock([], "a")}, rounds=3, warmup=2)
    assert timed["a"].seconds == [3.0, 4.0, 5.0]


def test_one_that_fails_is_closed_and_keeps_what_it_has_and_the_others_go_on():
    failing = Clock([], "a", dies=4)
    timed = in_turns({"a": failing, "b": Clock([], "b")}, rounds=5, warmup=1)
    assert timed["a"].seconds == [2.0, 3.0]
    assert (timed["a"].outcome.kind, timed["a"].outcome.message) == ("failed", "gone")
    assert failing.closed
    assert len(timed["b"].seconds) == 5


def test_a_spent_budget_ends_the_rounds_but_not_before_three():
    timed = in_turns({"a": Clock([], "a", takes=0.01)}, rounds=1000, warmup=0, budget_seconds=0.0)
    assert len(timed["a"].seconds) == 3


@pytest.mark.parametrize(("share", "value"), [(0, 2.0), (0.25, 3.0), (0.5, 5.0), (0.75, 8.0), (0.95, 10.4), (1, 11.0)])
def test_quantiles_of_five_samples_by_hand(share, value):
    assert quantile([11.0, 2.0, 5.0, 3.0, 8.0], share) == pytest.approx(value)


def test_quantile_of_one_sample_is_it():
    assert quantile([7.0], 0.95) == 7.0
