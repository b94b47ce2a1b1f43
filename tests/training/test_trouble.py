"""Full disks, folders that cannot be written, data that vanishes: a clear error, and nothing half-written."""

import errno
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from segattn import checkpoint, records
from segattn.evaluation import counts
from segattn.records import integrity
from segattn.training import folder, snapshots
from segattn.training.train import train
from tests import tiny

pytestmark = pytest.mark.slow


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def from_iteration(iteration, monkeypatch, module, name, replacement):
    """A progress callback that replaces a function when an iteration is done."""

    def on_progress(progress):
        if progress.stage == "train" and progress.done == iteration:
            monkeypatch.setattr(module, name, replacement)

    return on_progress


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "tensorboard" not in str(path)}


@pytest.mark.parametrize("what", ["save_file", "sync", "state.json"])
def test_full_disk_at_a_checkpoint_keeps_the_one_before(what, tmp_path, monkeypatch):
    module, name = {
        "save_file": (checkpoint, "save_file"), "sync": (integrity, "sync"), "state.json": (records, "write_bytes")
    }[what]  # fmt: skip
    genuine = getattr(module, name)
    config = tiny.experiment(validate_every=0)
    stop = from_iteration(3, monkeypatch, module, name, full)
    with pytest.raises(ValueError, match=r"iteration 4 cannot be written.*No space left.*iteration 2 is kept"):
        train(config, tmp_path, device="cpu", on_progress=stop)
    assert snapshots.latest_snapshot(tmp_path).iteration == 2
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["iteration-00000002"]
    monkeypatch.setattr(module, name, genuine)
    assert len(train(config, tmp_path, device="cpu").curve) == 5


def test_error_that_safetensors_makes_of_a_full_disk_is_understood(tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def fail(*arguments):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    config = tiny.experiment(validate_every=0)
    with pytest.raises(ValueError, match=r"iteration 2 cannot be written.*os error 28.*there is no earlier one"):
        train(config, tmp_path, device="cpu", on_progress=from_iteration(1, monkeypatch, checkpoint, "save_file", fail))


@pytest.mark.parametrize(
    ("module", "name"),
    [(checkpoint, "save_model"), (counts, "write"), (records, "write"), (Image.Image, "save")],
)
def test_full_disk_at_the_end_keeps_the_checkpoint_and_leaves_no_record(module, name, tmp_path, monkeypatch):
    config = tiny.experiment(validate_every=0)
    genuine = getattr(module, name)

    def at_evaluation(progress):
        before = (
            name == "save_model" and progress.done == config.optimization.iterations
        )  # the network is written first
        if before or progress.stage == "evaluate":
            monkeypatch.setattr(module, name, full)

    with pytest.raises(ValueError, match=r"results cannot be written into .*No space left.*run the same command again"):
        train(config, tmp_path, device="cpu", on_progress=at_evaluation)
    assert not (tmp_path / "record.json").exists()
    assert not [path for path in files(tmp_path) if path.startswith(".")]
    monkeypatch.setattr(module, name, genuine)
    stages = set()
    train(config, tmp_path, device="cpu", on_progress=lambda progress: stages.add(progress.stage))
    assert stages == {"evaluate"}


def test_log_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    genuine = folder.Path.open

    def fail(self, *arguments, **options):
        return full() if self.name == "log.jsonl" else genuine(self, *arguments, **options)

    with pytest.raises(ValueError, match=r"log\.jsonl cannot be written: No space left"):
        train(
            tiny.experiment(),
            tmp_path,
            device="cpu",
            on_progress=from_iteration(3, monkeypatch, folder.Path, "open", fail),
        )
    monkeypatch.undo()
    assert [point.iteration for point in train(tiny.experiment(), tmp_path, device="cpu").curve] == [1, 2, 3, 4, 5]


def test_folder_that_cannot_be_written_is_named_before_training(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(records, "write_bytes", refuse)
    steps = []
    with pytest.raises(ValueError, match=r"cannot write the run into .*run: Read-only file system"):
        train(tiny.experiment(), tmp_path / "run", device="cpu", on_progress=steps.append)
    assert steps == []


def write_data(root):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / split / kind).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(root / split / f"images/{i}.jpg")
            Image.fromarray(rng.integers(0, 11, (32, 48), dtype=np.uint8)).save(root / split / f"labels/{i}.png")


def test_data_that_vanishes_is_named_and_the_checkpoint_is_kept(tmp_path):
    root = tmp_path / "data"
    write_data(root)
    data = {"name": "camvid", "root": str(root), "size": None, "train_images": None, "val_images": None}
    config = tiny.experiment(data=data, validate_every=0)

    def vanish(progress):
        if progress.done == 3:
            shutil.move(root, tmp_path / "moved")

    with pytest.raises(ValueError, match=r"data/train/(images|labels)/\d"):
        train(config, tmp_path / "run", device="cpu", on_progress=vanish)
    assert snapshots.latest_snapshot(tmp_path / "run").iteration == 2
    with pytest.raises(ValueError, match="data"):  # and at the start of the next attempt
        train(config, tmp_path / "run", device="cpu")
    shutil.move(tmp_path / "moved", root)
    assert len(train(config, tmp_path / "run", device="cpu").curve) == 5
