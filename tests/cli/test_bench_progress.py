"""How far `segattn bench` is, where there is no terminal: never silent for long, and no line for each case."""

from rich.console import Console

from segattn.cli.bench_progress import Shown


def lines(tmp_path, reports):
    """What is printed of (seconds, share) reports."""
    clock = [0.0]
    with (tmp_path / "out").open("w") as file:
        shown = Shown(Console(file=file), None, now=lambda: clock[0])
        for seconds, share in reports:
            clock[0] = seconds
            shown(share, f"case at {seconds}")
    return (tmp_path / "out").read_text().splitlines()


def test_a_line_for_each_tenth(tmp_path):
    assert lines(tmp_path, [(0, 0.0), (1, 0.02), (2, 0.11), (3, 0.12)]) == ["  0 %  case at 0", " 11 %  case at 2"]


def test_a_line_after_half_a_minute_without_one(tmp_path):
    reports = [(0, 0.0), (20, 0.01), (31, 0.02), (40, 0.03), (62, 0.04)]
    assert lines(tmp_path, reports) == ["  0 %  case at 0", "  2 %  case at 31", "  4 %  case at 62"]
