"""Networks within a budget, and the front, on figures worked out by hand."""

import math

from segattn.benchmark.choice import Candidate, front, ranked


def one(name, mean_iou, **costs):
    return Candidate(name, "eager", costs, mean_iou)


A = one("a", 0.50, time=1.0, memory=9.0)
B = one("b", 0.70, time=2.0, memory=8.0)
C = one("c", 0.60, time=3.0, memory=1.0)
D = one("d", 0.70, time=2.5, memory=8.0)
UNSCORED = one("u", None, time=0.1, memory=0.1)
UNMEASURED = one("m", 0.99)
ALL = [A, B, C, D, UNSCORED, UNMEASURED]


def names(candidates):
    return "".join(each.network for each in candidates)


def test_front_in_one_quantity_leaves_out_what_is_slower_and_no_better():
    assert names(front(ALL, ["time"])) == "ab"


def test_front_in_two_quantities_keeps_what_is_best_in_either():
    assert names(front(ALL, ["time", "memory"])) == "abc"


def test_equal_networks_are_both_on_the_front():
    assert names(front([A, one("e", 0.50, time=1.0)], ["time"])) == "ae"


def test_within_the_budget_the_most_accurate_is_first_and_of_equals_the_cheaper():
    assert names(ranked(ALL, {"time": 2.6}, "time")) == "bdaumc"


def test_every_limit_holds():
    assert [each.network for each in ALL if each.fits({"time": 2.2, "memory": 8.5})] == ["b", "u"]


def test_what_was_not_measured_fits_no_limit():
    assert UNMEASURED.cost("time") == math.inf
    assert UNMEASURED.fits({})
    assert not UNMEASURED.fits({"time": 1e9})
