"""How a cross-check is put into words."""

from segattn.cli.flops.cross_check import elements, explain

UNSEEN = [["@", 19, 2_000_000_000, 0], ["*", 300, 0, 800_000_000], ["exp", 100, 0, 200_000_000], ["+", 1, 0, 3]]


def test_unseen_products_have_their_number_of_calls():
    text = explain(1, [["@: not seen", -2_000_000_000], ["einsum: not seen", -1_000_000]], UNSEEN)
    assert text.startswith("1 per multiply-add; @: not seen in 19 calls (-2.000 G); einsum: not seen (-0.001 G); ")


def test_unseen_element_operations_are_named_largest_first():
    assert elements(UNSEEN) == [
        "1.000 G element operations not seen, in 401 calls of *, exp, +, which are no multiply-adds"
    ]


def test_more_than_three_kinds_are_summed_up():
    (text,) = elements([*UNSEEN, ["sum", 1, 0, 1]])
    assert "in 402 calls of *, exp, + and others" in text


def test_a_handful_of_element_operations_is_not_worth_a_word():
    assert elements([["@", 1, 10**9, 0], ["+", 1, 0, 499_999]]) == []
    assert explain(2, [], [["+", 1, 0, 499_999]]) == explain(2, []) == "2 per multiply-add"


def test_one_call_is_no_plural():
    assert elements([["softmax", 1, 0, 10**6]]) == [
        "0.001 G element operations not seen, in 1 call of softmax, which are no multiply-adds"
    ]
