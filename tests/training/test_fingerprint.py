"""Data that changed since a run began: refused when it resumes, noted when its network is evaluated."""

import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from segattn import checkpoint, cli, data
from segattn.data.splits import open_data
from segattn.data.tools import pack
from segattn.training import fingerprint
from segattn.training.interruption import Interrupted
from segattn.training.train import train
from tests import tiny

pytestmark = pytest.mark.slow

CLASSES = ["road", "sky", "tree"]


def write_data(root, suffix=".bmp"):
    """Three pairs a split; all images have one size, in a format in which equal sizes give files of equal length."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for i in range(3):
            for kind, shape, limit in (("images", (32, 48, 3), 256), ("masks", (32, 48), 3)):
                path = root / kind / split / f"{i}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, limit, shape, dtype=np.uint8)).save(path)
    (root / "classes.txt").write_text("\n".join(CLASSES))


def experiment(root, **changes):
    section = {"name": "folder", "root": str(root), "size": None, "train_images": None, "val_images": None}
    return tiny.experiment(data=section, evaluation={"examples": 0}, validate_every=0, **changes)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Data, and a run on them that was interrupted after iteration 2 or 3."""
    folder = tmp_path_factory.mktemp("begun")
    write_data(folder / "data")

    def interrupt(progress):
        if progress.stage == "train" and progress.done == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(experiment(folder / "data"), folder / "run", device="cpu", on_progress=interrupt)
    return folder


def in_place(begun, change):
    """Change the data of `begun` for one attempt to resume."""
    kept = begun / "kept"
    shutil.copytree(begun / "data", kept)
    before = {path: path.read_bytes() for path in (begun / "run").rglob("*") if path.is_file()}
    try:
        change(begun / "data")
        with pytest.raises(ValueError) as caught:
            train(experiment(begun / "data"), begun / "run", device="cpu")
    finally:
        shutil.rmtree(begun / "data")
        kept.rename(begun / "data")
    checkpoints = {path: content for path, content in before.items() if "checkpoints" in path.parts}
    assert all(path.read_bytes() == content for path, content in checkpoints.items())
    return str(caught.value)


def repaint(path):
    pixels = np.array(Image.open(path))
    pixels[3, 5] = pixels[3, 5] ^ 1
    Image.fromarray(pixels).save(path)


def rename(root):
    for kind in ("images", "masks"):
        (root / kind / "val" / "1.bmp").rename(root / kind / "val" / "9.bmp")


def remove(root):
    for kind in ("images", "masks"):
        (root / kind / "train" / "1.bmp").unlink()


def resize(root):
    Image.new("RGB", (48, 32)).save(root / "images/train/1.png")
    (root / "images/train/1.bmp").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: repaint(root / "images/train/1.bmp"), "train: image or mask of 1 is another"),
        (lambda root: repaint(root / "masks/val/2.bmp"), "val: image or mask of 2 is another"),
        (resize, "train: image or mask of 1 is another"),
        (rename, "val: other names of images"),
        (remove, "train: 3 images then, 2 now"),
        (lambda root: (root / "classes.txt").write_text("road\nsky\ntree\nrail"), "3 classes then, 4 now"),
        (lambda root: (root / "classes.txt").write_text("road\nsky\nbush"), "class 2 was tree and is bush"),
        (
            lambda root: (root / "classes.txt").write_text("sky\nroad\ntree"),
            "another order of the classes: class 0 was road",
        ),
    ],
    ids=["image", "mask", "size", "name", "number", "more classes", "class", "order of classes"],
)
def test_changed_data_are_refused_at_resume(begun, change, words):
    message = in_place(begun, change)
    assert "the data have changed since this run began" in message
    assert words in message
    assert "\n" not in message


def test_data_that_only_look_new_are_the_same(begun, tmp_path):
    """Copied files have another time of change."""
    data_copy = shutil.copytree(begun / "data", tmp_path / "data", copy_function=shutil.copyfile)
    shutil.rmtree(begun / "data")
    data_copy.rename(begun / "data")
    run = shutil.copytree(begun / "run", tmp_path / "run")
    assert len(train(experiment(begun / "data"), run, device="cpu").curve) == 5


def test_evaluation_notes_changed_data(begun, tmp_path, capsys):
    run = shutil.copytree(begun / "run", tmp_path / "run")
    train(experiment(begun / "data"), run, device="cpu", on_notice=lambda line: None)
    command = ["evaluate", str(run), "--device", "cpu", "--data-root"]
    assert cli.main([*command, str(begun / "data")]) == 0
    assert "is not what it was" not in capsys.readouterr().out
    changed = shutil.copytree(begun / "data", tmp_path / "data")
    repaint(changed / "masks/val/2.bmp")
    assert cli.main([*command, str(changed)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "folder val is not what it was when the network was trained: image or mask of 2 is another" in shown
    (changed / "classes.txt").write_text("sky\nroad\ntree")
    assert cli.main([*command, str(changed)]) == 0
    assert "another order of the classes" in " ".join(capsys.readouterr().out.split())


def test_generated_data_have_a_fingerprint_without_files():
    first, again = (fingerprint.of_splits(*open_data(tiny.TINY.data)) for _ in range(2))
    assert fingerprint.difference(first, again) == ""
    other = tiny.experiment(data={"options": {"seed": 5}}).data
    assert "image or mask of train-000000 is another" in fingerprint.difference(
        first, fingerprint.of_splits(*open_data(other))
    )


def test_packed_data_are_told_apart_by_their_pixels(tmp_path):
    write_data(tmp_path / "data")
    for name in ("one", "two"):
        assert len(list(pack.pack("folder", tmp_path / name, root=tmp_path / "data"))) == 2
        repaint(tmp_path / "data/images/val/1.bmp")
    splits = [
        [data.load("packed", split, root=tmp_path / name) for split in ("train", "val")]
        for name in ("one", "two", "one")
    ]
    one, two, same = (fingerprint.of_splits(*each) for each in splits)
    assert fingerprint.difference(one, same) == ""
    assert fingerprint.difference(one, two) == "val: image or mask of 1 is another"


def test_large_split_is_told_apart_by_sizes_beyond_the_samples_that_are_read(tmp_path):
    write_data(tmp_path / "data", suffix=".png")
    splits = []
    for _ in range(2):
        dataset = data.load("folder", "train", root=tmp_path / "data")
        data.verify(dataset, limit=1)  # as in a split of more than 2,000
        splits.append(fingerprint.of_split(dataset))
        Image.new("RGB", (48, 32)).save(tmp_path / "data/images/train/1.png")
    assert splits[0].contents == splits[1].contents
    assert splits[0].sizes != splits[1].sizes


def test_no_file_is_opened_for_names_and_sizes(tmp_path, monkeypatch):
    write_data(tmp_path / "data")
    dataset = data.load("folder", "train", root=tmp_path / "data")
    data.verify(dataset)

    def fail(*arguments, **options):
        raise AssertionError("a file was opened")

    monkeypatch.setattr("builtins.open", fail)
    monkeypatch.setattr("pathlib.Path.open", fail)
    assert fingerprint.of_split(dataset).images == 3


@pytest.mark.parametrize("before", [None, [], {}, {"train": 3}, {"train": {"split": "train"}, "val": {}}], ids=str)
def test_damaged_fingerprint_is_named(before):
    now = fingerprint.of_splits(*open_data(tiny.TINY.data))
    with pytest.raises(ValueError, match="the fingerprint of the data is damaged"):
        fingerprint.difference(before, now)


def test_model_carries_the_fingerprint_of_its_data(begun, tmp_path):
    run = shutil.copytree(begun / "run", tmp_path / "run")
    train(experiment(begun / "data"), run, device="cpu")
    expected = fingerprint.of_splits(*open_data(experiment(begun / "data").data))
    assert checkpoint.read_config(run)["data"] == expected
