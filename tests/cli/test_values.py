"""Words of the command line and the values they stand for."""

from pathlib import Path
from typing import Any, Literal

import pytest

from segattn.cli import values
from segattn.cli.values import metavar, size, text, value


@pytest.mark.parametrize(
    ("text", "expected"),
    [("769x520", (769, 520)), ("769", (769, 769)), (" 3x5 ", (3, 5)), ("3×5", (3, 5)), ("3,5", (3, 5))],
)
def test_size_is_height_by_width(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "x5", "5x", "0", "5x0", "-3", "3.5", "5x5x5", "big"])
def test_text_that_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="should be HEIGHTxWIDTH in pixels"):
        size(text)


@pytest.mark.parametrize(
    ("kind", "words", "expected"),
    [
        (int, ["5"], 5),
        (float, ["5"], 5.0),
        (Path, ["a/b"], Path("a/b")),
        (Literal["on", "off"], ["on"], "on"),
        (tuple[int, int], ["3x5"], (3, 5)),
        (tuple[int, int] | None, ["3x5"], (3, 5)),
        (tuple[int, int] | None, ["None"], None),
        (tuple[tuple[int, int], ...], ["3x5", "7"], ((3, 5), (7, 7))),
        (tuple[float, float], ["0.5", "2"], (0.5, 2.0)),
        (tuple[Literal["a", "b"], ...], ["b", "a"], ("b", "a")),
        (tuple[float, ...] | None, ["1"], (1.0,)),
        (dict[str, Any], ["a=1,b=x"], {"a": 1, "b": "x"}),
    ],
    ids=str,
)
def test_words_give_the_value_and_the_value_the_words(kind, words, expected):
    assert value(kind, words) == expected
    assert value(kind, text(kind, expected)) == expected


@pytest.mark.parametrize(
    ("kind", "word", "message"),
    [
        (int, "5.5", "'5.5' should be a whole number"),
        (float | None, "much", "'much' should be a number"),
        (float, "nan", "'nan' should be a number, and finite"),
        (float | None, "-inf", "'-inf' should be a number, and finite"),
        (float, "1e999", "'1e999' should be a number, and finite"),
        (tuple[float, ...], "infinity", "'infinity' should be a number, and finite"),
        (int, "9" * 30, "should be a whole number, below 2"),
        (int, "9" * 5000, "should be a whole number"),
        (dict[str, Any], "gamma=.nan", "gamma is nan; give a finite number"),
        (dict[str, Any], "{a: [1, {b: -.inf}]}", "a.1.b is -inf; give a finite number"),
        (dict[str, Any], "{a: " + "[" * 5000 + "]" * 5000 + "}", "not of the form|nested deeper"),
        (int, "None", "'None' should be a whole number"),
        (tuple[Literal["fp32", "bf16"], ...], "bf15", "unknown value 'bf15'; did you mean bf16"),
    ],
)
def test_word_of_another_form_is_refused(kind, word, message):
    with pytest.raises(ValueError, match=message):
        value(kind, [word])


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (tuple[int, int], "HEIGHTxWIDTH"),
        (tuple[tuple[int, int], ...], "HEIGHTxWIDTH ..."),
        (tuple[float, float], "FLOAT FLOAT"),
        (Literal["on", "off"] | None, "{on,off}"),
        (tuple[Literal["a", "b"], ...], "{a,b} ..."),
        (Path | None, "PATH"),
    ],
)
def test_help_shows_no_python_types(kind, shown):
    assert metavar(kind) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lists={split}.txt,val_fraction=0.2", {"lists": "{split}.txt", "val_fraction": 0.2}),
        ("images=_left.png, masks = *_gt.png", {"images": "_left.png", "masks": "*_gt.png"}),
        ("images='a,b/*.png',exif=ignore", {"images": "a,b/*.png", "exif": "ignore"}),
        ("classes=[road, sky blue]", {"classes": ["road", "sky blue"]}),
        ("values={7: road, 8: side walk}", {"values": {7: "road", 8: "side walk"}}),
        ("values={7=road}", {"values": {7: "road"}}),
        ("ignore=[[0,0,0],3]", {"ignore": [[0, 0, 0], 3]}),
        ("images=scan #1/[ab]*.png", {"images": "scan #1/[ab]*.png"}),
        ("masks=John's masks", {"masks": "John's masks"}),
        ("day=2020-01-01,lr=1.5,on=true", {"day": "2020-01-01", "lr": 1.5, "on": True}),
        (
            '{"images": "a/{split}/*.png", "values": {"7": "road"}}',
            {"images": "a/{split}/*.png", "values": {"7": "road"}},
        ),
    ],
)
def test_options_of_a_data_set_need_no_quotes_of_their_own(text, expected):
    assert values.name_values(text) == expected


@pytest.mark.parametrize("text", ["images", "images=", "=a", "a=1,b", "{a", "images=a/*.png,b/*.png"])
def test_what_is_no_name_and_value_is_refused(text):
    with pytest.raises(ValueError, match="is not of the form name=value"):
        values.name_values(text)


def test_a_name_given_twice_is_refused():
    with pytest.raises(ValueError, match="gives a twice"):
        values.name_values("a=1,a=2")
