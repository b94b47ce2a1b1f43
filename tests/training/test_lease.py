"""Only one process writes the folder of a run, and one that has lost the folder writes nothing more."""

import shutil
import signal
import subprocess
import sys

import pytest

from segattn import checkpoint, cli, records
from segattn.records import Held, Lease, LeaseLost
from segattn.training import folder
from segattn.training.interruption import Interrupted
from segattn.training.train import train
from tests import tiny

pytestmark = pytest.mark.slow

CONFIG = tiny.experiment(validate_every=0, evaluation={"examples": 1})
HOLDER = """
import sys
from segattn.records import Lease
with Lease(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def contents(run):
    """Every file of the run but TensorBoard's, which has a name of its own in each process."""
    return {
        path.relative_to(run): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and "tensorboard" not in path.parts
    }


@pytest.fixture
def held(tmp_path):
    """The folder of a run that another process has begun and still writes."""
    run = tmp_path / "run"
    folder.claim(run, CONFIG)
    (run / "log.jsonl").write_text('{"iteration": 1, "loss": 2.5, "lr": 0.05, "losses": {}, "seconds": 1.0}\n')
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield run
    process.communicate(timeout=30)


def test_folder_in_use_is_one_line_and_nothing_is_touched(held, tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise AssertionError("the data was opened first")

    monkeypatch.setattr("segattn.training.train.open_data", fail)
    file = tmp_path / "tiny.json"
    records.write_bytes((held / "experiment.json").read_bytes(), file)
    before = contents(held)
    assert cli.main(["train", str(file), "--device", "cpu", "--out", str(held)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"segattn: error: {held} is in use: process ")
    assert error.count("\n") == 1
    assert contents(held) == before


def test_folder_taken_while_the_data_was_opened_is_not_touched_either(held, monkeypatch):
    monkeypatch.setattr(Lease, "refuse_if_held", lambda lease: None)
    before, steps = contents(held), []
    with pytest.raises(Held, match="writes the run there"):
        train(CONFIG, held, device="cpu", on_progress=steps.append)
    assert steps == []
    assert contents(held) == before


def taken_over(run):
    """What another process does that takes the folder over and continues the run."""
    (run / ".lease").unlink()
    peer = Lease(run)
    peer.acquire()
    (run / "log.jsonl").write_text("of the other process\n")
    return peer


@pytest.mark.parametrize(
    ("stage", "done"),
    [("train", 1), ("train", 2), ("train", 5), ("evaluate", 3)],
    ids=["at a line of the log", "at a checkpoint", "at the last checkpoint", "at the results"],
)
def test_lost_lease_ends_the_run_before_its_next_write(stage, done, tmp_path):
    peers, before = [], {}

    def on_progress(progress):
        if (progress.stage, progress.done) == (stage, done):
            peers.append(taken_over(tmp_path))
            before.update(contents(tmp_path))

    with pytest.raises(LeaseLost, match=r"was taken over by this process; nothing more is written"):
        train(CONFIG, tmp_path, device="cpu", on_progress=on_progress)
    assert contents(tmp_path) == before
    peers[0].check()  # the run that ended has left it alone
    peers[0].release()


def test_lease_lost_in_an_evaluation_leaves_the_log_alone(tmp_path):
    peers = []

    def on_progress(progress):
        if progress.stage == "evaluate" and not peers:
            peers.append(taken_over(tmp_path))

    with pytest.raises(LeaseLost):
        train(tiny.experiment(validate_every=2), tmp_path, device="cpu", on_progress=on_progress)
    assert (tmp_path / "log.jsonl").read_text() == "of the other process\n"
    peers[0].release()


def test_lease_lost_between_the_results_leaves_the_rest_unwritten(tmp_path, monkeypatch):
    genuine = checkpoint.save_model

    def save_model(*arguments, **options):
        genuine(*arguments, **options)
        (tmp_path / ".lease").unlink()

    monkeypatch.setattr(checkpoint, "save_model", save_model)
    with pytest.raises(LeaseLost, match="was removed"):
        train(CONFIG, tmp_path, device="cpu")
    written = contents(tmp_path)
    assert not {"per_image.npz", "record.json"} & {path.name for path in written}
    assert not [path for path in written if path.name.startswith(".")]
    monkeypatch.undo()
    assert len(train(CONFIG, tmp_path, device="cpu").curve) == 5  # the checkpoint was kept


def test_removed_folder_ends_the_run_and_is_not_made_again(tmp_path):
    run = tmp_path / "run"

    def on_progress(progress):
        if progress.done == 3:
            shutil.rmtree(run)

    with pytest.raises(LeaseLost, match="was removed"):
        train(CONFIG, run, device="cpu", on_progress=on_progress)
    assert not run.exists()


def interrupt(progress):
    if progress.done == 3:
        signal.raise_signal(signal.SIGTERM)


def fail(progress):
    if progress.done == 3:
        raise RuntimeError("in the middle")


def test_lease_is_held_from_the_first_step_and_released_however_the_run_ends(tmp_path):
    seen = []
    for on_progress, error in ((interrupt, Interrupted), (fail, RuntimeError)):
        with pytest.raises(error):
            train(CONFIG, tmp_path, device="cpu", on_progress=on_progress)
        assert not (tmp_path / ".lease").exists()
    train(CONFIG, tmp_path, device="cpu", on_progress=lambda step: seen.append((tmp_path / ".lease").exists()))
    assert seen
    assert all(seen)
    assert not (tmp_path / ".lease").exists()


def test_checkpoint_that_cannot_be_read_leaves_no_lease(tmp_path):
    with pytest.raises(Interrupted):
        train(CONFIG, tmp_path, device="cpu", on_progress=interrupt)
    for path in (tmp_path / "checkpoints").glob("iteration-*/model.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.safetensors: 0 bytes.* may be truncated"):
        train(CONFIG, tmp_path, device="cpu")
    assert not (tmp_path / ".lease").exists()


def test_run_that_another_process_finished_meanwhile_is_not_trained_again(tmp_path, monkeypatch):
    train(CONFIG, tmp_path, device="cpu")
    before, genuine, calls = contents(tmp_path), folder.ended, []

    def ended(out):  # not at the first look
        calls.append(out)
        return genuine(out) if len(calls) > 1 else None

    monkeypatch.setattr(folder, "ended", ended)
    with pytest.raises(ValueError, match=r"another process has just finished this run; its record is .*record\.json"):
        train(CONFIG, tmp_path, device="cpu")
    assert contents(tmp_path) == before


def test_finished_run_is_read_whoever_holds_its_lease(tmp_path):
    record = train(CONFIG, tmp_path, device="cpu")
    claim = f"filelock/2\npid=4711\nhost=elsewhere\nmode=lease\ntoken={'ab' * 16}\nduration=30.0\n"
    (tmp_path / ".lease").write_text(claim)
    (tmp_path / "checkpoints").mkdir()
    assert train(CONFIG, tmp_path, device="cpu") == record  # without the wait of 30 s
    assert (tmp_path / "checkpoints").exists()  # its holder removes them
    (tmp_path / ".lease").unlink()
    assert train(CONFIG, tmp_path, device="cpu") == record
    assert not (tmp_path / "checkpoints").exists()
