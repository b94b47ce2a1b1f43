import io

import pytest

from segattn.cli import terminal
from segattn.cli.study.board import Board, board
from segattn.study.engines import Event
from segattn.study.job import Job
from segattn.training.run import Progress

JOB = Job(runs=[("fcn-faithful-s0", {})], out="out")
OTHER = Job(runs=[("a", {}), ("b", {})], out="out")


@pytest.fixture
def shown():
    """A board that is no terminal, at given times; and what it has printed."""
    output, clock = io.StringIO(), iter([0.0, 90.0, 90.0, 100.0, 200.0, 200.0, 300.0, 300.0])
    console = terminal.console(file=output, width=80)
    return Board(console, None, now=lambda: next(clock)), output


def test_each_end_is_a_line_and_progress_is_none(shown):
    note, output = shown
    note(Event(JOB, "started"))
    note(Event(JOB, "progress", "vm", Progress("train", 1, 5, 0.3)))
    note(Event(JOB, "retried", "vm", message="its process was ended by SIGKILL"))
    note(Event(JOB, "started"))
    note(Event(JOB, "finished", "node7"))
    assert output.getvalue().splitlines() == [
        "fcn-faithful-s0: its process was ended by SIGKILL on vm; tried again",
        "[1] fcn-faithful-s0: done in 1:40 on node7",
    ]


def test_job_of_several_runs_counts_them_and_a_failure_counts_none(shown):
    note, output = shown
    note(Event(OTHER, "finished"))
    note(Event(JOB, "failed", "vm", message="the loss is nan"))
    note(Event(JOB, "stopped"))
    assert output.getvalue().splitlines() == [
        "[2] 2 heads side by side, a first: done in 0:00",
        "fcn-faithful-s0: failed on vm: the loss is nan",
        "fcn-faithful-s0: stopped",
    ]


def test_terminal_shows_a_bar_for_each_run_that_is_under_way():
    console = terminal.console(file=io.StringIO(), force_terminal=True, width=80)
    with board(console, quiet=False) as note:
        note(Event(JOB, "started"))
        note(Event(JOB, "progress", "vm", Progress("train", 1, 5, 0.25)))
        note(Event(OTHER, "progress", "vm", Progress("evaluate", 1, 2)))
        assert [task.description for task in note.bars.tasks] == ["fcn-faithful-s0", "2 heads side by side, a first"]
        assert note.bars.tasks[0].fields["what"] == "train 1 of 5, loss 0.250"
        note(Event(JOB, "finished"))
        assert len(note.bars.tasks) == 1


def test_study_in_the_commands_own_process_has_no_board():
    output = io.StringIO()
    with board(terminal.console(file=output), quiet=True) as note:
        note(Event(JOB, "finished"))
    assert output.getvalue() == ""
