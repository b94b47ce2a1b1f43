"""The log that a resumed run goes on with is the one that its checkpoint counts on."""

import json
import os

import pytest

from segattn import records
from segattn.training import log
from segattn.training.log import Log


def line(at, **changes):
    return json.dumps({"iteration": at, "loss": 1.5, "lr": 0.1, "losses": {"out": 1.5}, "seconds": 0.5} | changes)


def written(tmp_path, *lines):
    (tmp_path / "log.jsonl").write_text("".join(f"{each}\n" for each in lines))
    return tmp_path / "log.jsonl"


def iterations(lines):
    return [each.iteration for each in lines]


def test_lines_after_the_checkpoint_are_dropped(tmp_path):
    path = written(tmp_path, line(1), line(2), line(3))
    assert iterations(log.read(path, 2)) == [1, 2]
    assert iterations(log.read(path, 0)) == []
    assert log.read(tmp_path / "none.jsonl", 2) == []


@pytest.mark.parametrize("rest", [b'{"iterat', b"\x00" * 4096, b"\xff\n", b'{"iteration": 99}\n', b"[" * 100_000])
def test_what_a_kill_left_at_the_end_is_dropped(rest, tmp_path):
    path = written(tmp_path, line(1), line(2))
    path.write_bytes(path.read_bytes() + rest)
    assert iterations(log.read(path, 2)) == [1, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line(2), line(1), line(3)], "line 2 is of iteration 1, which is not above the line before"),
        ([line(1), line(1), line(3)], "line 2 is of iteration 1"),
        ([line(1), "damaged", line(3)], "line 2 is damaged, or of a later iteration than a line below it"),
        ([line(5), line(1), line(2)], "line 1 is damaged, or of a later"),
        ([line(1, loss=None), line(2)], "line 1 is damaged, or of a later"),
    ],
)
def test_lines_out_of_order_are_named(lines, message, tmp_path):
    with pytest.raises(ValueError, match=rf"log\.jsonl: {message}"):
        log.read(written(tmp_path, *lines), 3)


@pytest.mark.parametrize(
    "changes",
    [{"loss": float("nan")}, {"lr": float("inf")}, {"losses": {"out": float("nan")}}, {"surprise": 1}, {"iteration": 0},
     {"loss": "much"}, {"seconds": None}, {"mean_iou": float("nan")}],
    ids=str,
)  # fmt: skip
def test_line_that_is_no_point_is_none(changes, tmp_path):
    assert log.read(written(tmp_path, line(1, **changes)), 3) == []


def test_fingerprint_is_of_every_number_but_the_last_mean_iou(tmp_path):
    lines = log.read(written(tmp_path, line(1, mean_iou=0.25), line(2)), 2)
    same = log.read(written(tmp_path, line(1, mean_iou=0.25), line(2, mean_iou=0.5)), 2)
    assert log.fingerprint(lines) == log.fingerprint(same)
    for changed in (
        [line(1, mean_iou=0.26), line(2)],
        [line(1, mean_iou=0.25), line(2, loss=1.25)],
        [line(1, mean_iou=0.25), line(2, lr=0.2)],
        [line(1, mean_iou=0.25), line(2, losses={})],
        [line(1, mean_iou=0.25)],
        [line(1, mean_iou=0.25), line(2), line(3)],
    ):
        assert log.fingerprint(log.read(written(tmp_path, *changed), 3)) != log.fingerprint(lines)


def test_log_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "log.jsonl"
    first = Log(path, 0, active=True)
    for iteration in (1, 2, 3):
        first.add(records.CurvePoint(iteration=iteration, loss=1 / 3, lr=0.1, losses={"out": 1 / 3}), iteration / 7)
    first.replace_last(records.CurvePoint(iteration=3, loss=1 / 3, lr=0.1, losses={"out": 1 / 3}, mean_iou=0.1))
    first.close()
    again = Log(path, 2, active=True)
    assert again.points == first.points[:2]
    assert again.seconds == pytest.approx(2 / 7, abs=1e-3)
    assert log.fingerprint(again.lines) == log.fingerprint(first.lines[:2])
    again.close()


def test_last_point_is_replaced_in_one_step(tmp_path, monkeypatch):
    """A kill between two steps would lose a line that a checkpoint counts on."""
    path = tmp_path / "log.jsonl"
    made = Log(path, 0, active=True)
    for iteration in (1, 2):
        made.add(records.CurvePoint(iteration=iteration, loss=1.0, lr=0.1), 0.5)
    seen = []
    genuine = records.write_bytes
    monkeypatch.setattr(records, "write_bytes", lambda data, to: seen.append(data.count(b"\n")) or genuine(data, to))
    made.replace_last(records.CurvePoint(iteration=2, loss=1.0, lr=0.1, mean_iou=0.5))
    made.close()
    assert seen == [2]
    assert log.read(path, 2)[-1].mean_iou == 0.5


def test_changed_mean_iou_of_the_last_point_is_seen(tmp_path):
    """No checkpoint counts on it: it is measured after the checkpoint of its iteration is written."""
    path = tmp_path / "log.jsonl"
    made = Log(path, 0, active=True)
    made.add(records.CurvePoint(iteration=1, loss=1.0, lr=0.1), 0.5)
    made.replace_last(records.CurvePoint(iteration=1, loss=1.0, lr=0.1, mean_iou=0.25))
    made.close()
    whole = path.read_text()
    assert log.read(path, 1)[-1].mean_iou == 0.25
    for before, after in (("0.25", "0.35"), ("0.25", "null"), ('"mean_iou"', '"mean_iot"'), ('"crc32"', '"crc33"')):
        assert before in whole
        path.write_text(whole.replace(before, after))
        assert log.read(path, 1) == []


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a large file"])
def test_what_is_no_log_is_named(what, tmp_path):
    path = tmp_path / "log.jsonl"
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 5 * 10**9)
    with pytest.raises(ValueError, match=r"log\.jsonl: not readable as a log"):
        log.read(path, 1)
