"""What trackers are told of a run, read back from their own files; one whole training, and one on two processes."""

import json
import os
import sqlite3
import struct
import subprocess
import sys

import pytest
from accelerate import Accelerator, tracking

from segattn import records
from segattn.cli import values
from segattn.config import to_dict
from segattn.study.run import run_study
from segattn.training import trackers
from segattn.training.trackers import Trackers
from segattn.training.train import train
from tests import tiny
from tests.places import ROOT

CONFIG = tiny.experiment("ccnet", optimization={"iterations": 4, "lr": 0.025}, evaluation={"examples": 0})
POINTS = {1: {"loss": 2.5, "lr": 0.05}, 2: {"loss": 2.25, "lr": 0.04}}


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """Runs a tracker as a run of the folder `out` does; returns the names under which a resumed run is found again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it reads the environment once

    def run(track, start=0, out=tmp_path / "study x/ccnet s0"):
        out.mkdir(parents=True, exist_ok=True)
        own = Trackers(Accelerator(cpu=True), CONFIG, out)
        own.begin(track, resumed=start > 0)
        own.write(track, start=start)
        for iteration, point in POINTS.items():
            own.log(point, start + iteration)
        own.close()
        return own.known

    return run


# Checks before anything is written ----------------------------------------------------------------------------------------
def test_names_of_the_command_line_are_those_of_the_trackers():
    assert values.Tracker.__args__ == (*trackers.NAMES, trackers.NONE)
    assert set(trackers.NAMES) < set(tracking.LOGGER_TYPE_TO_CLASS)


@pytest.mark.parametrize(
    ("track", "runs", "message"),
    [
        (["wanb"], 1, "unknown tracker 'wanb'; did you mean wandb.*Trackers: tensorboard, wandb"),
        (["none", "tensorboard"], 1, "--track none with another tracker"),
        (["clearml"], 1, "tracker clearml is not installed; pip install 'clearml'"),
        (["trackio"], 2, "tracker trackio has one run in a process, and 2 heads are trained side by side"),
    ],
)
def test_tracker_that_cannot_be_used_is_an_error_of_one_line(track, runs, message, monkeypatch):
    monkeypatch.setattr(trackers, "_installed", lambda name: name != "clearml")
    with pytest.raises(ValueError, match=message) as raised:
        trackers.check(track, runs=runs)
    assert "\n" not in str(raised.value)


def test_tracker_without_login_writes_nothing(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra `track`")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.setattr("wandb.login", lambda prompt=True: False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="tracker wandb: not logged in; run `wandb login`, or set WANDB_MODE=offline"):
        train(CONFIG, tmp_path / "run", device="cpu", track=["wandb"])
    assert not (tmp_path / "run").exists()


def test_tracker_that_fails_at_its_start_leaves_no_run(tmp_path, monkeypatch):
    ended = []

    class Fails(tracking.GeneralTracker):
        name, requires_logging_directory, tracker = "mlflow", False, None

        def __init__(self, project, **options):
            super().__init__()

        def start(self):
            raise ConnectionError("no server at 127.0.0.1\nand more")

        def finish(self):
            ended.append(self)

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "mlflow", Fails)
    monkeypatch.setattr(trackers, "_installed", lambda name: True)
    with pytest.raises(ValueError, match=r"cannot be tracked by mlflow: no server at 127\.0\.0\.1$"):
        train(CONFIG, tmp_path / "run", device="cpu", track=["mlflow"])
    assert len(ended) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# Those that the tests have ------------------------------------------------------------------------------------------------
def scalars(folder, name):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), purge_orphaned_data=True).Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]


def test_tensorboard_has_points_and_settings_and_a_resumed_run_purges_later_points(tracked, tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra `track`")
    out = tmp_path / "study x/ccnet s0"
    assert tracked(["tensorboard"]) == {}
    assert scalars(out / "tensorboard", "loss") == [(1, 2.5), (2, 2.25)]
    (settings,) = out.rglob("hparams.yml")
    assert "optimization.lr: 0.025" in settings.read_text()
    tracked(["tensorboard"], start=1)
    assert scalars(out / "tensorboard", "loss") == [(1, 2.5), (2, 2.5), (3, 2.25)]
    assert len(list(out.rglob("hparams.yml"))) == 1


def rows(path, table, column):
    with sqlite3.connect(path) as connection:
        stored = connection.execute(f"select run_id, run_name, {column} from {table}")
        return [(run, name, json.loads(content)) for run, name, content in stored]


def test_trackio_has_one_run_that_a_resumed_run_continues(tracked, tmp_path, monkeypatch):
    trackio = pytest.importorskip("trackio", reason="needs the extra `track`")
    from trackio import sqlite_storage, utils

    for module in (trackio, utils, sqlite_storage):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    (tmp_path / "trackio").mkdir()
    tracked(["trackio"])
    tracked(["trackio"], start=2)
    path = tmp_path / "trackio/segattn-tiny.db"
    ((run, name, settings),) = rows(path, "configs", "config")
    assert name == "ccnet s0"
    assert settings["model.head"] == "ccnet"
    assert settings["optimization.lr"] == 0.025
    assert "allow_val_change" not in settings
    assert [(each, values["loss"]) for each, _, values in rows(path, "metrics", "metrics")] == [
        (run, 2.5),
        (run, 2.25),
    ] * 2
    tracked(["trackio"])
    assert len({each for each, *_ in rows(path, "metrics", "metrics")}) == 2  # a run that begins anew is another one


def wandb_records(path):
    """The records of an offline run: blocks of 32 KiB of chunks (checksum, length, type), as in LevelDB's log."""
    from wandb.proto import wandb_internal_pb2

    content, at, held = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        held += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(held)
            held = b""
            yield record


def items(pairs):
    return {pair.key or ".".join(pair.nested_key): json.loads(pair.value_json) for pair in pairs}


def test_wandb_offline_has_settings_points_and_one_name_for_a_resumed_run(tracked, tmp_path):
    wandb = pytest.importorskip("wandb", reason="needs the extra `track`")
    known = tracked(["wandb"])
    (tmp_path / "wandb").rename(tmp_path / "first")  # its folders are named by the second
    assert tracked(["wandb"], start=2) == known
    wandb.teardown()  # its process writes the file after the run has ended
    files = [path for place in ("first", "wandb") for path in (tmp_path / place).glob("offline-run-*/*.wandb")]
    assert [file.name for file in files] == [f"run-{known['id']}.wandb"] * 2
    content = [record for file in files for record in wandb_records(file)]
    run = next(record.run for record in content if record.HasField("run"))
    assert (run.project, run.display_name) == ("segattn-tiny", "ccnet s0")
    settings = items(run.config.update)
    assert (settings["model.head"], settings["optimization.lr"]) == ("ccnet", 0.025)
    points = [items(record.history.item) for record in content if record.HasField("history")]
    assert {point["_step"]: point["loss"] for point in points} == {1: 2.5, 2: 2.25, 3: 2.5, 4: 2.25}


# Those that are passed through --------------------------------------------------------------------------------------------
@pytest.fixture
def passed(monkeypatch):
    """What each tracker that is not installed here is given, in order."""
    calls = []

    class Told(tracking.GeneralTracker):
        requires_logging_directory = False

        def __init__(self, project, *place, **options):
            super().__init__()
            calls.append((self.name, "init", project, *place, options))

        def start(self):
            calls.append((self.name, "start"))

        @property
        def tracker(self):
            told = type("Run", (), {"set_name": lambda self, name: calls.append(("comet_ml", "name", name))})()
            told.info = type("Info", (), {"run_id": "0f" * 16})()
            return told

        def store_init_configuration(self, values):
            calls.append((self.name, "config", values["optimization.lr"]))

        def log(self, values, step=None):
            calls.append((self.name, "log", step, values))

        def finish(self):
            calls.append((self.name, "finish"))

    for name in trackers.NAMES:
        monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, name, type(name, (Told,), {"name": name}))
    monkeypatch.setattr(trackers, "AimTracker", tracking.LOGGER_TYPE_TO_CLASS["aim"])
    monkeypatch.setattr(trackers, "_installed", lambda name: True)
    monkeypatch.setattr(trackers, "_check_wandb", lambda: None)
    return calls


@pytest.mark.parametrize("name", ["mlflow", "clearml", "aim", "comet_ml", "swanlab"])
def test_every_tracker_is_started_told_everything_and_ended_once(tracked, passed, name):
    tracked([name, name])
    told = [call[1:] for call in passed if call[0] == name]
    assert [call[0] for call in told if call[0] != "name"] == ["init", "start", "config", "log", "log", "finish"]
    assert told[0][1] == "segattn-tiny"
    named = {"mlflow": "run_name", "clearml": "task_name", "swanlab": "experiment_name"}
    if name in named:
        assert told[0][-1][named[name]] == "ccnet s0"
    assert ("config", 0.025) in told
    assert [call[1:] for call in told if call[0] == "log"] == list(POINTS.items())


def test_resumed_run_of_mlflow_and_comet_is_the_one_before(tracked, passed):
    known = tracked(["mlflow", "comet_ml"])
    passed.clear()
    tracked(["mlflow", "comet_ml"], start=2)
    options = {call[0]: call[-1] for call in passed if call[1] == "init"}
    assert options["mlflow"]["run_id"] == known["mlflow"] == "0f" * 16
    assert options["comet_ml"]["experiment_key"] == known["id"]


def test_tracker_that_fails_later_is_left_out_and_told_of_once(passed, tmp_path):
    notices = []
    own = Trackers(Accelerator(cpu=True), CONFIG, tmp_path, notices.append)
    own.begin(["mlflow", "swanlab"], resumed=False)
    own.running[0].log = lambda values, step: 1 / 0
    for iteration, point in POINTS.items():
        own.log(point, iteration)
    own.close()
    assert notices == [
        "tracker mlflow failed at iteration 1 and is left out: division by zero; the run goes on, and log.jsonl has everything"
    ]
    assert [call[2] for call in passed if call[:2] == ("swanlab", "log")] == [1, 2]


# A whole run --------------------------------------------------------------------------------------------------------------
def test_training_tells_its_points_and_scores_and_its_experiment_does_not_name_the_tracker(passed, tmp_path):
    record = train(CONFIG, tmp_path / "run", device="cpu", track=["mlflow"])
    logged = [call[2:] for call in passed if call[1] == "log"]
    losses = {step: values["loss"] for step, values in logged if "loss" in values}
    assert losses == {point.iteration: point.loss for point in record.curve}
    measured = {step: values["val/mean_iou"] for step, values in logged if "val/mean_iou" in values}
    assert measured == {point.iteration: point.mean_iou for point in record.curve[:-1] if point.mean_iou is not None}
    step, scores = logged[-1]
    assert (step, scores["final/mean_iou"]) == (4, record.scores.mean_iou)
    assert scores["final/pixel_accuracy"] == record.scores.pixel_accuracy
    named = dict(zip(record.class_names, record.scores.iou, strict=True))
    assert {f"final/iou/{name}": iou for name, iou in named.items() if iou is not None}.items() <= scores.items()
    assert passed[-1][1] == "finish"
    assert "mlflow" not in (tmp_path / "run/experiment.json").read_text()
    assert json.loads((tmp_path / "run/experiment.json").read_text())["optimization"] == to_dict(CONFIG)["optimization"]


def test_none_writes_no_tensorboard(tmp_path):
    train(CONFIG, tmp_path / "run", device="cpu", track=["none"])
    assert not (tmp_path / "run/tensorboard").exists()
    assert records.read(tmp_path / "run/record.json").iterations == 4


@pytest.mark.slow
def test_each_run_of_a_study_is_a_run_of_the_tracker_with_the_name_of_its_folder(passed, tmp_path):
    run_study(CONFIG, tmp_path, head_names=["fcn"], seeds=(0, 1), device="cpu", track=["clearml"], on_notice=print)
    assert [call[-1]["task_name"] for call in passed if call[1] == "init"] == ["fcn-faithful-s0", "fcn-faithful-s1"]
    assert [call[1] for call in passed if call[1] in ("init", "finish")] == ["init", "finish"] * 2


@pytest.mark.long
def test_two_processes_are_one_run_of_the_tracker(tmp_path):
    pytest.importorskip("wandb", reason="needs the extra `track`")
    (tmp_path / "tiny.json").write_text(json.dumps(to_dict(CONFIG)))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "segattn"]
    command = ["train", "tiny.json", "--device", "cpu", "-o", "run", "--track", "wandb", "tensorboard"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    done = subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=tmp_path,
        env={**os.environ, **settings},
        capture_output=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    points = [items(record.history.item) for record in wandb_records(file) if record.HasField("history")]
    assert sorted(point["_step"] for point in points) == [1, 2, 3, 4]
    assert points[-1]["final/mean_iou"] == pytest.approx(records.read(tmp_path / "run/record.json").scores.mean_iou)
    assert len(list((tmp_path / "run/tensorboard").glob("events.*"))) == 1
    assert scalars(tmp_path / "run/tensorboard", "lr")[0][0] == 1
