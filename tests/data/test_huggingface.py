import io
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.config import Augmentation
from segattn.data.loader import TrainingStream
from segattn.data.tools import pack
from segattn.data.tools.check import check

datasets = pytest.importorskip("datasets")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.slow

rng = np.random.default_rng(13)
PICTURES = rng.integers(0, 256, (6, 5, 7, 3)).astype(np.uint8)
MASKS = rng.integers(0, 2, (6, 5, 7)).astype(np.uint8)
NAMES = ["ground", "thing"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def table(indices, *, label="label", masks=None):
    masks = masks or datasets.Image()
    features = datasets.Features({"image": datasets.Image(), label: masks, "id": datasets.Value("int64")})
    encoded = [png(MASKS[i]) if isinstance(masks, datasets.Image) else MASKS[i].tolist() for i in indices]
    columns = {"image": [png(PICTURES[i]) for i in indices], label: encoded, "id": list(indices)}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture
def root(tmp_path):
    """Four training rows and two for validation, as parquet files."""
    folder = tmp_path / "my pets"
    (folder / "data").mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(NAMES))
    table(range(4)).to_parquet(folder / "data/train-00000-of-00001.parquet")
    table([4, 5]).to_parquet(folder / "data/validation-00000-of-00001.parquet")
    return folder


def test_parquet_files_are_read_without_network(root):
    dataset = data.load("huggingface", "train", root=root)
    assert dataset.class_names == ("ground", "thing")
    for index in (3, 0):
        assert np.array_equal(dataset[index].image, PICTURES[index])
        assert np.array_equal(dataset[index].label, MASKS[index])
    assert np.array_equal(data.load("huggingface", "val", root=root)[1].label, MASKS[5])
    with pytest.raises(ValueError, match="has no split 'test'; it has train, val"):
        data.load("huggingface", "test", root=root)


def test_reader_is_picklable_and_feeds_training(root):
    dataset = pickle.loads(pickle.dumps(data.load("huggingface", "train", root=root)))
    batch = next(TrainingStream(dataset, Augmentation(crop_size=(4, 4)), batch_size=2).batches())
    assert batch["image"].shape == (2, 3, 4, 4)


def test_fingerprint_knows_size_and_content(root):
    dataset = data.load("huggingface", "val", root=root)
    assert dataset.stored(0) == [len(png(PICTURES[4])["bytes"]) + len(png(MASKS[4])["bytes"])]
    assert dataset.digest(0, dataset[0]) != dataset.digest(1, dataset[1])


def test_check_and_pack_work(root, tmp_path):
    assert check("huggingface", root=root).good
    list(pack.pack("huggingface", tmp_path / "packed", root=root))
    assert np.array_equal(data.load("packed", "val", root=tmp_path / "packed")[0].image, PICTURES[4])


def test_lists_of_indices_and_names_of_the_features(tmp_path):
    nested = datasets.List(datasets.List(datasets.ClassLabel(names=NAMES)))
    table(range(6), label="segmentation", masks=nested).save_to_disk(str(tmp_path / "disk"))
    parts = [data.load("huggingface", split, root=tmp_path / "disk", val_fraction=0.4) for split in ("train", "val")]
    assert parts[0].class_names == tuple(NAMES)
    names = [part.image_name(index) for part in parts for index in range(len(part))]
    assert sorted(names) == [f"{index:06}" for index in range(6)]
    for part in parts:
        assert np.array_equal(part[0].label, MASKS[int(part.image_name(0))])


def test_names_of_id2label_are_taken(root):
    (root / "classes.txt").unlink()
    (root / "id2label.json").write_text('{"1": "thing", "0": "ground"}')
    assert data.load("huggingface", "val", root=root).class_names == ("ground", "thing")


def test_splits_of_other_names_are_named(tmp_path):
    splits = datasets.DatasetDict({"learn": table([0, 1]), "exam": table([2])})
    splits.save_to_disk(str(tmp_path / "disk"))
    with pytest.raises(ValueError, match=r"has the splits learn, exam; .* splits=\{train: learn\}"):
        data.load("huggingface", "train", root=tmp_path / "disk", classes=NAMES)
    options = {"splits": {"train": "learn", "val": "exam"}, "classes": NAMES}
    assert len(data.load("huggingface", "train", root=tmp_path / "disk", **options)) == 2
    assert len(data.load("huggingface", "val", root=tmp_path / "disk", **options)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image": "photo"},
            r"no column 'photo' \(image\); its columns: image \(Image\), label \(Image\), id \(Value\)",
        ),
        ({"image": "id"}, "no column of images"),
        ({"dataset": "org/name"}, "give one of them"),
        ({"splits": {"val": "exam"}}, "val: exam; it has train, validation"),
    ],
)
def test_options_that_do_not_fit_are_named(root, options, message):
    with pytest.raises(ValueError, match=message):
        data.load("huggingface", "train", root=root, **options)


def test_a_folder_of_something_else_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="cannot be opened as a Hugging Face data set") as caught:
        data.load("huggingface", "train", root=tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="gone: no such folder"):
        data.load("huggingface", "train", root=tmp_path / "gone")


def test_without_the_package_the_extra_is_named(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'segattn\[huggingface\]'"):
        data.load("huggingface", "train", root=root)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("name", "reason"), [("pipe", "not a regular file but a pipe"), ("none", "No such file")])
def test_masks_that_are_no_files_are_one_line(root, name, reason):
    os.mkfifo(root / "pipe")
    features = table([0]).features
    columns = {"id": [0], "image": [png(PICTURES[0])], "label": [{"bytes": None, "path": str(root / name)}]}
    rows = datasets.Dataset.from_dict(columns, features=features).data.table
    parquet.write_table(
        rows, root / "data/train-00000-of-00001.parquet"
    )  # the library's own method stores the contents
    with pytest.raises(ValueError, match=rf"{name}: cannot be read \({reason}"):
        data.load("huggingface", "train", root=root)[0]
