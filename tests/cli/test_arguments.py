import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tyro

from segattn import heads
from segattn.cli.arguments import experiment_and_rest, head_names, load_experiment, parse, wrapped
from segattn.cli.progress import clock
from segattn.config import Data


def test_experiment_comes_first_or_is_the_default():
    assert experiment_and_rest(["camvid", "--lr", "1"], command="study", default="quick") == ("camvid", ["--lr", "1"])
    assert experiment_and_rest(["--lr", "1"], command="study", default="quick") == ("quick", ["--lr", "1"])
    assert experiment_and_rest([], command="study", default="quick") == ("quick", [])
    with pytest.raises(ValueError, match="segattn train needs an experiment"):
        experiment_and_rest(["--lr", "1"], command="train")


def test_experiment_by_name():
    assert load_experiment("quick").name == "quick"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3661, "1:01:01"), (-3, "0:00")],
)
def test_clock(seconds, expected):
    assert clock(seconds) == expected


@dataclass(frozen=True)
class Options:
    """Some options, in a paragraph
    of two lines.

        segattn some photo.png

    A last paragraph.
    """

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO ...")]
    """Photos."""
    size: tuple[int, int] = (5, 7)
    """Height
    and width."""
    scales: tuple[float, ...] | None = None
    """Scales."""
    kind: Literal["round", "square"] = "round"
    flip: bool = False
    out: Path | None = None
    """Where."""


def some(*words):
    return parse(Options, words, command="some")


def test_words_without_an_option_may_stand_anywhere():
    chosen = some("a.png", "--flip", "b.png", "-o", "x", "c.png", "--scales", "0.5", "1")
    assert chosen.photos == (Path("a.png"), Path("b.png"), Path("c.png"))
    assert (chosen.flip, chosen.out, chosen.scales) == (True, Path("x"), (0.5, 1.0))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sise", "3"], "segattn some has no option --sise; did you mean --size? All options: segattn some --help"),
        (["--size", "3by5"], "--size: size '3by5' should be HEIGHTxWIDTH in pixels, such as 769x769"),
        (["--kind", "sqare"], "--kind: unknown value 'sqare'; did you mean square? Choices: round, square"),
        (["--scales", "1", "x"], "--scales: 'x' should be a number"),
        (["--scales"], "--scales needs one value or more; see segattn some --help"),
        (["--size"], "--size needs a value; see segattn some --help"),
        (["--out"], "--out needs a value; see segattn some --help"),
    ],
)
def test_mistake_is_one_line(words, message, capsys):
    with pytest.raises(ValueError) as caught:
        some(*words)
    assert str(caught.value) == message
    assert capsys.readouterr() == ("", "")


@dataclass(frozen=True)
class Mappings:
    """Options of several values."""

    sizes: dict[str, Any] = field(default_factory=dict)
    """Sizes."""
    data: Data = field(default_factory=Data)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--sizes", "a=1", "--sizes", "b=[2,3]"], {"a": 1, "b": [2, 3]}),
        (["--sizes=a=1", "--sizes", "b=2", "--sizes=c={3: x}"], {"a": 1, "b": 2, "c": {3: "x"}}),
        (["--sizes", "{a: 1}"], {"a": 1}),
    ],
)
def test_values_of_an_option_that_is_repeated_are_put_together(words, expected):
    assert parse(Mappings, words, command="some").sizes == expected


def test_both_names_of_an_option_are_put_together():
    words = ["--data.options", "exif=ignore", "--data-options", "bands=4"]
    assert parse(Mappings, words, command="some").data.options == {"exif": "ignore", "bands": 4}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "a=1", "--sizes", "a=2"], "--sizes: 'a=1,a=2' gives a twice"),
        (
            ["--sizes", "{a: 1}", "--sizes", "b=2"],
            "--sizes is given twice; give it once: --sizes NAME=VALUE,NAME=VALUE",
        ),
        (["--sizes", "a=1", "--sizes"], "--sizes needs a value; see segattn some --help"),
    ],
)
def test_repeated_option_that_cannot_be_put_together_is_one_line(words, message):
    with pytest.raises(ValueError) as caught:
        parse(Mappings, words, command="some")
    assert str(caught.value) == message


def test_terminal_is_as_wide_as_before(monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    some("a.png")
    assert os.environ["COLUMNS"] == "77"


def test_help_is_wrapped_and_keeps_examples(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit) as caught:
        some("--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: segattn some [-h] ")
    assert (
        "\n\nSome options, in a paragraph of two lines.\n\n    segattn some photo.png\n\nA last paragraph.\n\n" in shown
    )
    assert max(map(len, shown.splitlines())) <= 60
    assert "--size HEIGHTxWIDTH" in shown
    assert "Height and width. (default: 5x7)" in shown
    assert "(default: )" not in shown
    assert "None" not in shown


def test_wrapped_text_keeps_its_paragraphs(monkeypatch):
    monkeypatch.setenv("COLUMNS", "9")
    assert wrapped("one two three\n\n    as it is written") == "one two\nthree\n\n    as it is written"


def test_all_heads_begin_with_the_baseline():
    assert head_names(["all"]) == ("fcn", *(name for name in heads.names() if name != "fcn"))
    assert head_names(["ccnet", "all"])[:2] == ("ccnet", "fcn")
    assert head_names(["danet", "ccnet"]) == ("danet", "ccnet")
    with pytest.raises(ValueError, match="did you mean ccnet"):
        head_names(["ccnett"])


def test_words_stand_for_the_studys_heads_and_for_those_without_attention():
    study = head_names(["study"])
    assert len(study) == 10
    assert study[0] == "fcn"
    assert set(study) < set(heads.names())
    assert head_names(["baselines"]) == ("fcn", "aspp", "psp")
    assert head_names(["baselines", "study"]) == ("fcn", "aspp", "psp", *study[1:])
