"""The formula of a loss: what is one, and what is said of what is none."""

import pytest

from segattn.training.formula import Term, parse


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("ce", [Term("ce")]),
        ("ce+0.5dice", [Term("ce"), Term("dice", 0.5)]),
        (" 0.5 * CE\n+ .5*lovasz", [Term("ce", 0.5), Term("lovasz", 0.5)]),
        ("1e-2 boundary + 1e+1 ce", [Term("boundary", 0.01), Term("ce", 10.0)]),
        ("dice+2ce", [Term("dice"), Term("ce", 2.0)]),
        ("2 focal(gamma = 0) + ce", [Term("focal", 2.0, 0.0), Term("ce")]),
        ("focal", [Term("focal", gamma=2.0)]),
    ],
)
def test_terms_have_their_factors_and_options(text, terms):
    assert list(parse(text)) == terms


@pytest.mark.parametrize(
    "text",
    ["", " ", "+", "ce +", "+ ce", "ce + + dice", "ce dice", "ce - dice", "-1 ce", "ce, dice", "0.5", "ce + 0.5", "ü"],
)
def test_another_form_is_shown_one(text):
    form = r"not of the form 'ce \+ 0.5 dice'; the losses are ce, focal, dice, lovasz, boundary"
    with pytest.raises(ValueError, match=form):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crossentropy", "unknown loss 'crossentropy'; the losses are ce, focal, dice, lovasz, boundary"),
        ("ce + dicee", "'ce . dicee': unknown loss 'dicee'; did you mean dice"),
        ("0 ce", "the factor of ce should be above 0 and finite"),
        ("1e999 dice", "the factor of dice should be above 0 and finite"),
        ("ce + dice + 0.5 ce", "has ce twice; add up its factors"),
        ("dice(gamma=2)", r"the only option is focal's, such as focal\(gamma=2\)"),
        ("focal(2)", "the only option is focal's"),
        ("focal(gamma=-1)", "the only option is focal's"),
        ("focal(gamma=1e999)", "the only option is focal's"),
        ("x" * 500, "unknown loss 'x{30}'"),
    ],
)
def test_mistake_is_named(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert len(str(caught.value)) < 250
