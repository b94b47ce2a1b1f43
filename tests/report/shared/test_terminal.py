"""Tables that are too wide for one sheet."""

import pytest

from segattn.report.shared.terminal import sheets

COLUMNS = [
    ["head", "denoised_nl"],
    ["form", "reference"],
    ["median\nms", "1,234"],
    ["MiB", "56.7"],
    ["bound\nby", "arithmetic"],
]


def total(shown, gap):
    widths = [max(len(line) for text in COLUMNS[n] for line in text.split("\n")) for n in shown]
    return sum(widths) + gap * (len(widths) - 1)


def test_one_sheet_where_all_columns_fit():
    assert total(range(5), 1) == 44
    assert sheets(COLUMNS, 44, named=2) == [[0, 1, 2, 3, 4]]
    assert len(sheets(COLUMNS, 43, named=2)) == 2


@pytest.mark.parametrize("gap", [1, 2])
@pytest.mark.parametrize("width", range(34, 50))
def test_every_column_is_shown_once_within_the_width_and_the_names_in_every_sheet(width, gap):
    shown = sheets(COLUMNS, width, named=2, gap=gap)
    assert [n for sheet in shown for n in sheet[2:]] == [2, 3, 4]
    assert all(sheet[:2] == [0, 1] and total(sheet, gap) <= width for sheet in shown)


def test_a_column_that_never_fits_stands_alone():
    assert sheets(COLUMNS, 5, named=1) == [[0, 1], [0, 2], [0, 3], [0, 4]]
