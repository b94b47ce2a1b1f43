import pytest

from segattn.cli.arguments import experiment_and_rest, load_experiment, size
from segattn.cli.progress import clock


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
