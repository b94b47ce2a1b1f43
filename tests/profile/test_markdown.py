"""One writer for every Markdown table."""

import re

import pytest

from segattn.profile.markdown import markdown_table
from tests.places import ROOT


def test_last_letter_holds_for_the_columns_that_follow():
    rules = [
        markdown_table(["a", "b", "c", "d"], [], align=align).splitlines()[1] for align in ("lr", "llr", "r", "rllr")
    ]
    assert rules == [
        "| --- | ---: | ---: | ---: |", "| --- | --- | ---: | ---: |", "| ---: | ---: | ---: | ---: |",
        "| ---: | --- | --- | ---: |",
    ]  # fmt: skip


def test_cells_of_any_type_stand_as_they_are():
    assert markdown_table(["a", "b"], [["`x`", 1], ["[y](z)", None]]).splitlines()[2:] == [
        "| `x` | 1 |", "| [y](z) | None |",
    ]  # fmt: skip


@pytest.mark.parametrize("align", ["", "lc", "lrr"])
def test_unknown_or_too_many_letters_are_refused(align):
    with pytest.raises(ValueError, match=r"for 2 columns; give l \(text\) or r \(figures\)"):
        markdown_table(["a", "b"], [], align=align)


def test_no_other_place_writes_the_rule_of_a_table():
    rule = re.compile(r"\|:?-{2,}:?\||\"-{3}:?\"")
    places = [
        *(ROOT / "segattn").rglob("*.py"),
        *(ROOT / "docs" / "make").glob("*.py"),
        *(ROOT / "benchmarks").glob("*.py"),
    ]
    writers = [path.name for path in places if rule.search(path.read_text(encoding="utf-8"))]
    assert writers == ["markdown.py"]
