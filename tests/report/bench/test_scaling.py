"""Exponents and crossings of curves that are exact powers."""

from __future__ import annotations

import math

import pytest
import torch

from segattn import heads
from segattn.profile import flops
from segattn.report.bench.scaling import LEADING, Curve, crossings, curves, exponent, statements
from tests.report import fabricate_bench


def curve(head, values, quantity="time", positions=(100, 200, 400)):
    return Curve(head, head, "", quantity, positions, tuple(values), (0,) * len(values))


def test_exponents_are_those_of_the_powers():
    found = {(one.head, one.quantity): one for one in curves(fabricate_bench.sweep())}
    expected = {"non_local": (2, 2), "ccnet": (1.5, 1.5), "flanet": (1, 0.5)}
    for head, (time, memory) in expected.items():
        assert found[head, "time"].exponent == pytest.approx(time)
        assert found[head, "memory"].exponent == pytest.approx(memory, rel=1e-5)  # whole bytes
        assert found[head, "time"].counted == pytest.approx(time, rel=1e-4)
        assert (found[head, "time"].leading, found[head, "memory"].leading) == expected[head]


def test_exponent_is_fitted_over_the_larger_half_only():
    sides = (3, 5, 7, 9, 17, 33, 65, 129)
    (found,) = [c for c in curves(fabricate_bench.sweep(sides)) if (c.head, c.quantity) == ("non_local", "time")]
    flat_start = Curve("a", "a", "", "time", found.positions, (1.0,) * 4 + found.values[4:], found.flops)
    assert flat_start.fitted_sizes == tuple(side**2 for side in sides[4:])
    assert flat_start.exponent == pytest.approx(2)


def test_slope_of_least_squares_by_hand():
    # log10: (1, 0), (2, 1), (3, 1): mean (2, 2/3), slope ((-1)(-2/3) + 0 + (1)(1/3)) / 2 = 1/2
    assert exponent([10, 100, 1000], [1, 10, 10]) == pytest.approx(0.5)
    assert exponent([10, 100], [1, 10]) is None


def test_crossings_are_where_the_powers_cross():
    found = {(c.first, c.quantity): c for q in ("time", "memory") for c in crossings(
        [one for one in curves(fabricate_bench.sweep()) if one.quantity == q])}  # fmt: skip
    assert found["ccnet", "time"].positions == pytest.approx(1000)
    assert found["ccnet", "time"].value == pytest.approx(1)
    assert found["flanet", "memory"].positions == pytest.approx(4000, rel=1e-5)  # 8 sqrt(n) = n^2 at n = 4 thousand
    assert found["flanet", "time"].positions == pytest.approx(3000)


def test_a_crossing_says_who_is_cheaper_on_which_side():
    (found,) = crossings([curve("ccnet", (2, 4, 8)), curve("non_local", (1, 4.5, 16))])
    assert (
        found.words
        == f"non_local takes less time than ccnet below a map of about {found.side}x{found.side}, ccnet above"
    )
    assert 10 < found.side < math.sqrt(200)


def test_pairs_that_do_not_cross_say_who_is_cheaper_throughout():
    own = [curve("flanet", (9, 9, 9), "memory"), curve("non_local", (1, 2, 4), "memory")]
    assert crossings(own) == []
    assert statements(own) == ["non_local needs less memory than flanet at every size from 10x10 to 20x20"]


def test_sizes_that_only_one_has_are_left_out():
    own = [curve("ccnet", (1, 1, 1)), curve("non_local", (2, 0.5), positions=(100, 400))]
    (found,) = crossings(own)
    assert found.positions == pytest.approx(200)


def test_two_sizes_are_no_curve():
    assert curves(fabricate_bench.sweep((17, 33))) == []


@pytest.fixture(scope="module")
def ledgers():
    """Each mechanism on maps of 8192 and 16384 squared, on meta."""
    found = {}
    for name in LEADING:
        with torch.device("meta"):
            module = heads.create(name, (64, 128, 256, 512), 3, mode="controlled").attention.eval()
            for child in module.modules():
                if hasattr(child, "implementation"):
                    child.implementation = vars(type(child)).get("counted_as", "reference")
            found[name] = [flops.count(module, torch.empty(1, 512, side, side)) for side in (2**13, 2**14)]
    return found


@pytest.mark.parametrize("name", LEADING)
def test_leading_exponent_is_what_the_ledger_tends_to(name, ledgers):
    small, large = (ledger.total().macs for ledger in ledgers[name])
    assert math.log(large / small, 4) == pytest.approx(LEADING[name][0], abs=0.03)


@pytest.mark.parametrize("name", ["non_local", "dnlnet", "danet", "denoised_nl", "isanet", "ccnet", "flanet"])
def test_leading_exponent_of_memory_is_that_of_the_largest_softmax(name, ledgers):
    def maps(ledger):
        return max(row.activation_bytes / row.calls for row in ledger.rows if row.operator == "_softmax")

    small, large = map(maps, ledgers[name])
    assert math.log(large / small, 4) == pytest.approx(LEADING[name][1], abs=0.03)


def test_every_mechanism_has_a_leading_exponent():
    assert sorted(LEADING) == [name for name in heads.names() if name != "fcn"]
