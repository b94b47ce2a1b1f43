import pickle

import numpy as np
import pytest

from segattn import data
from segattn.config import Augmentation
from segattn.data.loader import TrainingStream
from segattn.data.tools import make, pack


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    make.make("cityscapes", folder / "files", images=5, size=(47, 89))
    # 4 x 47 x 89 bytes a sample: three shards of two, two and one
    for _ in pack.pack("cityscapes", folder / "packed", root=folder / "files", shard_bytes=34_000):
        pass
    for _ in pack.pack("cityscapes", folder / "packed", root=folder / "files", splits=["test"]):
        pass
    return folder


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_what_comes_out_is_what_went_in(roots, split):
    files = data.load("cityscapes", split, root=roots / "files")
    packed = data.load("packed", split, root=roots / "packed")
    assert (packed.class_names, packed.palette) == (files.class_names, files.palette)
    assert len(packed) == len(files)
    for a, b in zip(packed, files, strict=True):
        assert a.name == b.name
        assert np.array_equal(a.image, b.image)
        assert (a.label is None and b.label is None) or np.array_equal(a.label, b.label)


def test_training_sees_the_same_batches(roots):
    streams = [
        TrainingStream(
            data.load(name, "train", root=roots / folder), Augmentation(crop_size=(31, 37)), batch_size=3, seed=4
        )
        for name, folder in (("packed", "packed"), ("cityscapes", "files"))
    ]
    for a, b in zip(streams[0].batches(0, 4), streams[1].batches(0, 4), strict=True):
        assert a["image"].equal(b["image"])
        assert a["label"].equal(b["label"])


def test_shards_are_of_the_size_asked_for(roots):
    sizes = [path.stat().st_size for path in sorted((roots / "packed/train").glob("*.npy"))]
    assert len(sizes) == 3
    assert max(sizes) <= 34_000


def test_it_can_be_sent_to_a_worker(roots):
    dataset = pickle.loads(pickle.dumps(data.load("packed", "train", root=roots / "packed")))
    assert dataset[4].image.shape == (47, 89, 3)
    assert len(pickle.dumps(dataset)) < 4_000  # no pixels travel


def test_a_split_is_not_packed_twice(roots):
    with pytest.raises(ValueError, match=r"train is already packed"):
        list(pack.pack("cityscapes", roots / "packed", root=roots / "files", splits=["train"]))


def test_a_broken_off_or_damaged_pack_is_named(roots, tmp_path):
    list(pack.pack("cityscapes", tmp_path, root=roots / "files", splits=["val"]))
    shard = tmp_path / "val/0000.npy"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"0000\.npy: unreadable"):
        data.load("packed", "val", root=tmp_path)[0]
    (tmp_path / "val/index.json").write_text("{}")
    with pytest.raises(ValueError, match=r"index\.json: damaged"):
        data.load("packed", "val", root=tmp_path)
    (tmp_path / "val/index.json").unlink()
    with pytest.raises(ValueError, match=r"no packed split; `segattn data pack NAME -o"):
        data.load("packed", "val", root=tmp_path)
    with pytest.raises(ValueError, match="packed needs the folder"):
        data.load("packed", "val")
