"""Progress of studies: what stands where in a pipe and in a terminal, and how long the rest takes."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from segattn.cli import terminal
from segattn.cli.progress import Reporter, scored, study_progress
from segattn.study.run import Position
from segattn.training.run import Progress


class Clock:
    """Seconds, set by the test."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pipe(clock):
    """(reporter without a terminal, what it has printed)."""
    stream = io.StringIO()
    return Reporter(Console(file=stream, width=80), None, now=clock), lambda: stream.getvalue().splitlines()


def thirty_short_runs(report, clock):
    """Features for 30 s, then 30 runs of 8 s for training and 2 s for the evaluation."""
    for done in range(1, 801):
        clock.seconds += 30 / 800
        report(Position(0, 30, "features", Progress("features", done, 800)))
    for run in range(30):
        report(Position(run, 30, f"head{run}-s0", Progress("train", 0, 200)))
        for step in range(1, 201):
            clock.seconds += 8 / 200
            report(Position(run, 30, f"head{run}-s0", Progress("train", step, 200, 0.5)))
        for image in range(1, 81):
            clock.seconds += 2 / 80
            report(Position(run, 30, f"head{run}-s0", Progress("evaluate", image, 80)))
        report(Position(run, 30, f"head{run}-s0", None))


def seconds_left(line):
    minutes, seconds = line.split(", ")[-1].split(" left")[0].split(":")
    return 60 * int(minutes) + int(seconds)


def test_features_are_a_stage_of_their_own_in_a_pipe(pipe, clock):
    report, lines = pipe
    thirty_short_runs(report, clock)
    features = [line for line in lines() if line.startswith("features: ")]
    assert features[0] == "features: sample 1 of 800"  # too early to tell how long it takes
    assert features[2] == "features: sample 400 of 800, 0:15 left"
    assert features[-1] == "features: sample 800 of 800"
    assert not any("features" in line for line in lines()[len(features) :])


def test_features_of_each_setting_of_a_sweep_have_a_time_of_their_own(pipe, clock):
    report, lines = pipe
    for _ in range(3):
        for done in range(1, 101):
            clock.seconds += 1
            report(Position(0, 4, "features", Progress("features", done, 100)))
        clock.seconds += 500
    halves = [line for line in lines() if "sample 50 of 100" in line]
    assert halves == ["features: sample 50 of 100, 0:50 left"] * 3
    assert lines().count("features: sample 1 of 100") == 3


def test_time_left_for_thirty_short_runs_does_not_count_the_features_as_a_run(pipe, clock):
    report, lines = pipe
    thirty_short_runs(report, clock)
    done = [line for line in lines() if ": done" in line]
    assert len(done) == 30
    for number, line in enumerate(done[:-1], 1):
        assert line.startswith(f"[{number}/30] head{number - 1}-s0: done, ")
        assert seconds_left(line) == pytest.approx(10 * (30 - number), abs=1)
    assert done[-1] == "[30/30] head29-s0: done"


def test_a_short_run_has_a_line_at_its_beginning_and_at_its_end(pipe, clock):
    report, lines = pipe
    thirty_short_runs(report, clock)
    of_run = [line for line in lines() if line.startswith("[7/30]")]
    assert of_run[0].startswith("[7/30] head6-s0: train step 1 of 200, loss 0.500, ")
    assert len(of_run) <= 3  # and one in between where more than five seconds have passed


def test_runs_that_were_finished_before_do_not_count(pipe, clock):
    report, lines = pipe
    report(Position(0, 3, "fcn", None))
    clock.seconds = 7.0  # to open the data
    report(Position(1, 3, "danet", Progress("train", 0, 4)))
    clock.seconds = 9.0
    report(Position(1, 3, "danet", Progress("train", 1, 4)))
    clock.seconds = 67.0
    report(Position(1, 3, "danet", None))
    assert lines()[0] == "[1/3] fcn: done"
    assert lines()[-1] == "[2/3] danet: done, 1:00 left for all"


def test_heads_side_by_side_count_as_several_runs(pipe, clock):
    report, lines = pipe
    name = "3 heads side by side, seed 0"
    for step in range(1, 11):
        clock.seconds += 6.0
        report(Position(0, 6, name, Progress("train", step, 10), 3))
    assert lines()[0] == f"[1-3/6] {name}: train step 1 of 10, 2:07 left for all"  # 6 s are 9 % of 3 of 6 runs
    for run, head in enumerate(("fcn", "ccnet", "danet")):
        report(Position(run, 6, head, None))
    assert lines()[-1] == "[3/6] danet: done, 1:00 left for all"


def test_an_evaluation_between_iterations_does_not_move_the_share(pipe, clock):
    report, lines = pipe
    clock.seconds = 10.0
    report(Position(0, 2, "fcn", Progress("train", 2, 8)))
    clock.seconds = 20.0
    report(Position(0, 2, "fcn", Progress("evaluate", 5, 5)))
    assert len(lines()) == 1
    clock.seconds = 40.0
    report(Position(0, 2, "fcn", Progress("train", 5, 8)))
    assert lines()[-1].startswith("[1/2] fcn: train step 5 of 8, ")


def test_one_run_ends_with_its_evaluation(pipe, clock):
    report, lines = pipe
    report(Position(0, 1, "fcn", Progress("train", 1, 1, 2.0)))
    report(Position(0, 1, "fcn", Progress("evaluate", 3, 3)))
    assert lines() == ["fcn: train step 1 of 1, loss 2.000", "fcn: evaluate image 3 of 3"]


def test_a_long_line_is_not_wrapped_in_a_log_file(pipe, clock):
    report, lines = pipe
    name = "laboratory.attention.heads.eleventh-controlled-s11"
    for step in range(1, 3):
        clock.seconds += 600
        report(Position(7, 40, name, Progress("train", step, 80_000, 0.123)))
    report(Position(7, 40, name, None))
    assert len(lines()) == 2
    assert all(line.startswith(f"[8/40] {name}: ") for line in lines())
    assert max(map(len, lines())) > 80


def test_no_time_is_left_to_show_before_a_second_is(pipe, clock):
    report, lines = pipe
    clock.seconds = 0.001
    report(Position(0, 2, "fcn", Progress("train", 1, 2)))
    assert lines() == ["[1/2] fcn: train step 1 of 2"]
    stream = io.StringIO()
    with study_progress(Console(file=stream, width=80, force_terminal=True, color_system=None)) as in_terminal:
        for step in range(1, 4):
            in_terminal(Position(0, 2, "fcn", Progress("train", step, 4)))
    assert "0:00" not in stream.getvalue()


def test_a_terminal_shows_one_bar_for_one_network_and_its_name_as_it_is(clock):
    stream = io.StringIO()
    with study_progress(terminal.console(file=stream, width=80, force_terminal=True, color_system=None)) as report:
        report(Position(0, 1, "my[red].head [/b] :car:", Progress("train", 1, 4, 0.5)))
    shown = stream.getvalue()
    assert "my[red].head [/b] :car:" in shown
    assert "train step 1 of 4, loss 0.500" in shown
    assert "study" not in shown
    assert "network 1 of 1" not in shown


def test_a_terminal_shows_the_features_first_and_then_the_network(clock):
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    with study_progress(console) as report:
        report.now = clock
        report(Position(0, 30, "features", Progress("features", 0, 800)))
        clock.seconds = 10.0
        report(Position(0, 30, "features", Progress("features", 200, 800)))
        study, stage = report.bar.tasks
        assert (study.fields["what"], study.fields["left"], study.completed) == ("features first", None, 0.0)
        assert (stage.description, stage.fields["what"]) == ("features", "sample 200 of 800")
        assert (stage.completed, stage.fields["left"]) == (0.25, 30.0)
        clock.seconds = 20.0
        report(Position(0, 30, "fcn-s0", Progress("train", 0, 200)))
        clock.seconds = 30.0
        report(Position(0, 30, "fcn-s0", Progress("train", 100, 200, 0.5)))
        assert study.fields["what"] == "network 1 of 30"
        assert study.completed == pytest.approx(0.45 / 30)
        assert study.fields["left"] == pytest.approx(10 / 0.45 * 29.55)  # ten seconds since the network began
        assert stage.description == "fcn-s0"
        report(Position(3, 30, "3 heads side by side, seed 1", Progress("train", 1, 200), 3))
        assert study.fields["what"] == "networks 4 to 6 of 30"


def test_iterations_of_an_earlier_call_do_not_shorten_the_time_left(pipe, clock):
    report, lines = pipe
    report(Position(0, 2, "fcn-s0", Progress("train", 0, 100)))
    for step in range(51, 101):  # the first half was done before an interruption
        clock.seconds += 1.0
        report(Position(0, 2, "fcn-s0", Progress("train", step, 100, 0.5, before=50)))
    assert "train step 84 of 100" in lines()[-1]
    # a second an iteration: 16 more, the evaluation (a ninth of the iterations), and the same for the other network
    expected = 16 + 100 / 9 + 100 + 100 / 9
    assert seconds_left(lines()[-1].removesuffix(" for all")) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("count", "words"), [(1, "1 image"), (2, "2 images")])
def test_line_of_scores_counts_images(count, words):
    scores = SimpleNamespace(mean_iou=0.5, pixel_accuracy=0.75, num_images=count)
    record = SimpleNamespace(head="fcn", dataset="mine", split="val", scores=scores)
    assert scored(record) == f"fcn on mine val: mIoU 50.00 %, pixel accuracy 75.00 %, {words}"
