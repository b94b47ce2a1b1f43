"""Exponents and crossings of curves that are exact powers."""

from __future__ import annotations

import dataclasses
import math

import pytest

from segattn.records import HeadFacts
from segattn.report.bench.scaling import Curve, compared, crossings, curves, exponent, statements
from tests.report import fabricate_bench


def curve(head, values, quantity="time", positions=(100, 200, 400)):
    return Curve(head, head, "", quantity, positions, tuple(values), (0,) * len(values))


def test_exponents_are_those_of_the_powers():
    curve_of = {(one.head, one.quantity): one for one in curves(fabricate_bench.sweep())}
    expected = {"non_local": (2, 2), "ccnet": (1.5, 1.5), "flanet": (1, 0.5)}
    for head, (time, memory) in expected.items():
        assert curve_of[head, "time"].exponent == pytest.approx(time)
        assert curve_of[head, "memory"].exponent == pytest.approx(memory, rel=1e-5)  # whole bytes
        assert curve_of[head, "time"].counted == pytest.approx(time, rel=1e-4)
        assert (curve_of[head, "time"].leading, curve_of[head, "memory"].leading) == expected[head]


def test_exponent_is_fitted_over_the_larger_half_only():
    sides = (3, 5, 7, 9, 17, 33, 65, 129)
    (time,) = [c for c in curves(fabricate_bench.sweep(sides)) if (c.head, c.quantity) == ("non_local", "time")]
    flat_start = Curve("a", "a", "", "time", time.positions, (1.0,) * 4 + time.values[4:], time.flops)
    assert flat_start.fitted_sizes == tuple(side**2 for side in sides[4:])
    assert flat_start.exponent == pytest.approx(2)


def test_slope_of_least_squares_by_hand():
    # log10: (1, 0), (2, 1), (3, 1): mean (2, 2/3), slope ((-1)(-2/3) + 0 + (1)(1/3)) / 2 = 1/2
    assert exponent([10, 100, 1000], [1, 10, 10]) == pytest.approx(0.5)
    assert exponent([10, 100], [1, 10]) is None


def test_crossings_are_where_the_powers_cross():
    crossing_of = {(c.first, c.quantity): c for q in ("time", "memory") for c in crossings(
        [one for one in curves(fabricate_bench.sweep()) if one.quantity == q])}  # fmt: skip
    assert crossing_of["ccnet", "time"].positions == pytest.approx(1000)
    assert crossing_of["ccnet", "time"].value == pytest.approx(1)
    assert crossing_of["flanet", "memory"].positions == pytest.approx(
        4000, rel=1e-5
    )  # 8 sqrt(n) = n^2 at n = 4 thousand
    assert crossing_of["flanet", "time"].positions == pytest.approx(3000)


def test_a_crossing_says_who_is_cheaper_on_which_side():
    (crossing,) = crossings([curve("ccnet", (2, 4, 8)), curve("non_local", (1, 4.5, 16))])
    assert (
        crossing.words
        == f"non_local takes less time than ccnet on maps below about {crossing.side}x{crossing.side}; above, ccnet does"
    )
    assert 10 < crossing.side < math.sqrt(200)


def test_pairs_that_do_not_cross_say_who_is_cheaper_throughout():
    own = [curve("flanet", (9, 9, 9), "memory"), curve("non_local", (1, 2, 4), "memory")]
    assert crossings(own) == []
    assert statements(own) == ["non_local needs less memory than flanet at every size from 10x10 to 20x20"]


def test_sizes_that_only_one_has_are_left_out():
    own = [curve("ccnet", (1, 1, 1)), curve("non_local", (2, 0.5), positions=(100, 400))]
    (crossing,) = crossings(own, [("ccnet", "non_local")])
    assert crossing.positions == pytest.approx(200)


def test_two_sizes_are_no_curve():
    assert curves(fabricate_bench.sweep((17, 33))) == []


def test_heads_that_grow_more_slowly_are_compared_with_the_one_that_grows_fastest():
    own = curves(fabricate_bench.sweep())
    assert compared(own) == [("ccnet", "non_local"), ("flanet", "non_local")]
    assert compared([]) == []


def test_declared_growth_goes_before_what_was_fitted():
    """Fitted 1, 1.5 and 2; the first declares 2 as the last does, the second declares nothing."""
    values = {"a": (1, 2, 4), "b": (1, 2**1.5, 2**3), "c": (1, 4, 16)}
    own = [curve(head, of_head) for head, of_head in values.items()]
    assert compared(own) == [("a", "c"), ("b", "c")]
    declared = {"a": (2, 2), "c": (2, 2)}
    own = [dataclasses.replace(one, growth=declared.get(one.head)) for one in own]
    assert compared(own) == [("b", "c")]


def test_record_of_version_0_1_0_has_no_leading_exponents_and_still_its_crossings():
    own = curves(dataclasses.replace(fabricate_bench.sweep(), head_facts={}))
    assert {one.leading for one in own} == {None}
    assert compared(own) == [("ccnet", "non_local"), ("flanet", "non_local")]
    assert [crossing.quantity for crossing in crossings(own)] == ["time", "time", "memory"]


def test_a_head_of_ones_own_is_compared_by_what_it_declares():
    record = fabricate_bench.sweep()
    results = [
        dataclasses.replace(result, case=dataclasses.replace(result.case, head="mylab.tenth"))
        if result.case.head == "ccnet"
        else result
        for result in record.results
    ]
    facts = {**record.head_facts, "mylab.tenth": HeadFacts(family="spectral", growth=(1.5, 1.5))}
    own = curves(dataclasses.replace(record, results=results, head_facts=facts))
    assert {one.leading for one in own if one.head == "mylab.tenth"} == {1.5}
    assert (
        "non_local takes less time than mylab.tenth on maps below about 32x32; above, mylab.tenth does"
        in statements(own)
    )
