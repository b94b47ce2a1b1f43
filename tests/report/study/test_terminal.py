"""The table in windows of several widths."""

import dataclasses
import io

import pytest
from rich.console import Console

from segattn import records, report
from tests.report import fabricate


def printed(study, width, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=width).print(report.terminal_table(study))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_every_row_fits_on_one_line(ten_by_three, width):
    text = printed(report.load(ten_by_three), width)
    assert max(map(len, text.splitlines())) <= width
    for head in fabricate.HEADS:
        (line,) = [line for line in text.splitlines() if line.startswith(f"{head} ") and "±" in line]
        assert len(line.split()) >= 9
    assert "\x1b" not in text


def test_the_header_names_convention_and_size(ten_by_three):
    text = printed(report.load(ten_by_three), 80)
    assert "GFLOPs: 2 per multiply-add, resnet18 at 97×193" in text  # as trained, beside the accuracy
    assert "769" not in text


def test_a_wide_window_shows_the_interval(ten_by_three):
    study = report.load(ten_by_three)
    low, high = study.rows[0].interval
    text = f"{100 * low:.2f} to {100 * high:.2f}"
    assert text in printed(study, 140)
    assert text not in printed(study, 80)


def test_a_long_name_is_folded_and_no_number_is_lost(tmp_path):
    record = fabricate.run("laboratory.attention.heads.eleventh", 0, tmp_path, images=0)
    scores = dataclasses.replace(record.scores, mean_iou=0.567)
    records.write(dataclasses.replace(record, scores=scores), tmp_path / "record.json")
    text = printed(report.load(tmp_path), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    line = next(line for line in text.splitlines() if "56.70" in line)
    assert line.split()[-1] == "31"  # the training seconds, the last column


def test_an_ascii_stream_gets_ascii(ten_by_three):
    assert "+-" in printed(report.load(ten_by_three), 100, encoding="ascii")


def test_records_cannot_inject_markup(tmp_path):
    fabricate.run("[red]x[/red]", 0, tmp_path / "a", images=0)
    assert "[red]x[/red]" in printed(report.load(tmp_path), 140)
