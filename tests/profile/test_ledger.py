"""Totals of parts of a ledger."""

import pytest

from segattn.profile.ledger import Ledger, Parameter, Row


def row(module, operator, figure):
    return Row(
        module=module, operator=operator, calls=1, macs=figure, study=3 * figure, other=5 * figure, bytes=7 * figure
    )


LEDGER = Ledger(
    rows=(row("", "add", 1), row("a", "bmm", 10), row("a.b", "bmm", 100), row("ab", "convolution", 1000)),
    modules={"": "Net", "a": "Head", "a.b": "Attention", "a.idle": "Identity", "ab": "Conv2d"},
    parameters=(
        Parameter(name="a.b.weight", key=1, elements=11),
        Parameter(name="ab.weight", key=1, elements=11),
        Parameter(name="ab.bias", key=2, elements=13),
    ),
)


def test_total_of_the_root_is_everything_with_shared_parameters_once():
    total = LEDGER.total()
    assert (total.macs, total.flops, total.study, total.other, total.bytes) == (1111, 2222, 3333, 5555, 7777)
    assert total.parameters == 24


def test_total_of_a_subtree_does_not_take_in_a_neighbour_of_like_name():
    assert LEDGER.total("a").macs == 110
    assert LEDGER.total("a").parameters == 11
    assert LEDGER.total("ab").macs == 1000


def test_a_module_that_never_ran_costs_nothing():
    assert LEDGER.total("a.idle").macs == 0


def test_an_unknown_path_names_the_nearest():
    with pytest.raises(ValueError, match=r"no module 'a\.c'.*'a\.b'"):
        LEDGER.total("a.c")
    with pytest.raises(ValueError, match="no module"):
        LEDGER.by_operator("nowhere")


def test_by_operator_adds_calls_and_puts_the_dearest_first():
    assert [(row.operator, row.calls, row.macs) for row in LEDGER.by_operator()] == [
        ("convolution", 1, 1000),
        ("bmm", 2, 110),
        ("add", 1, 1),
    ]
    assert [(row.module, row.operator, row.macs) for row in LEDGER.by_operator("a.b")] == [("a.b", "bmm", 100)]


def test_by_module_stops_at_the_depth_and_leaves_out_the_idle():
    assert {path: total.macs for path, total in LEDGER.by_module(1).items()} == {"": 1111, "a": 110, "ab": 1000}
    assert list(LEDGER.by_module()) == ["", "a", "a.b", "ab"]
    assert list(LEDGER.by_module(0)) == [""]


@pytest.mark.parametrize("depth", [0, 1, 2, None])
def test_rolling_up_keeps_the_sum(depth):
    rows = LEDGER.rolled_up(depth)
    assert sum(row.macs for row in rows) == 1111
    assert max(row.module.count(".") + bool(row.module) for row in rows) == (2 if depth is None else depth)


def test_rolling_up_joins_equal_operators():
    assert [(row.module, row.operator, row.calls, row.macs) for row in LEDGER.rolled_up(1)][1] == ("a", "bmm", 2, 110)
