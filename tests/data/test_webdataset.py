import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.config import Augmentation
from segattn.data.loader import TrainingStream
from segattn.data.tools import pack
from segattn.data.tools.check import check

rng = np.random.default_rng(11)
PICTURES = rng.integers(0, 256, (7, 5, 6, 3)).astype(np.uint8)
MASKS = rng.integers(0, 2, (7, 5, 6)).astype(np.uint8)


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def write(shard, files, form="w"):
    with tarfile.open(shard, form) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def sample(index, mask="seg.png", name=None):
    name = name or f"frame{index}"
    return {f"{name}.png": png(PICTURES[index]), f"{name}.{mask}": png(MASKS[index])}


@pytest.fixture
def root(tmp_path):
    """Five training samples in two shards, two for validation in one."""
    (tmp_path / "classes.txt").write_text("ground\nthing\n")
    write(tmp_path / "train-000.tar", sample(0) | sample(1) | sample(2))
    write(tmp_path / "train-001.tar", sample(3) | sample(4))
    write(tmp_path / "val-000.tar", sample(5) | sample(6))
    return tmp_path


def test_samples_are_read_in_any_order(root):
    dataset = data.load("webdataset", "train", root=root)
    assert [dataset.image_name(index) for index in range(5)] == [f"frame{index}" for index in range(5)]
    for index in (3, 0, 4):
        assert np.array_equal(dataset[index].image, PICTURES[index])
        assert np.array_equal(dataset[index].label, MASKS[index])
    assert np.array_equal(data.load("webdataset", "val", root=root)[1].label, MASKS[6])


def test_reader_is_picklable_and_feeds_training(root):
    dataset = pickle.loads(pickle.dumps(data.load("webdataset", "train", root=root)))
    stream = TrainingStream(dataset, Augmentation(crop_size=(4, 4)), batch_size=2)
    batches = [next(stream.batches(3)) for _ in range(2)]
    assert batches[0]["names"] == batches[1]["names"]
    assert batches[0]["image"].equal(batches[1]["image"])


def test_fingerprint_changes_with_the_content(root):
    dataset = data.load("webdataset", "val", root=root)
    before, stored = dataset.digest(0, dataset[0]), dataset.stored(0)
    assert stored == [len(png(PICTURES[5])) + len(png(MASKS[5]))]
    write(root / "val-000.tar", sample(5) | {"frame5.png": png(PICTURES[0])} | sample(6))
    changed = data.load("webdataset", "val", root=root)
    assert changed.digest(0, changed[0]) != before


def test_check_and_pack_work(root, tmp_path):
    assert check("webdataset", root=root).good
    list(pack.pack("webdataset", tmp_path / "packed", root=root))
    packed = data.load("packed", "train", root=tmp_path / "packed")
    assert np.array_equal(packed[3].image, PICTURES[3])


@pytest.mark.parametrize("pattern", ["train-{000..001}.tar", "train-*.tar", ["train-000.tar", "train-001.tar"]])
def test_one_set_of_shards_is_split_by_name(root, pattern):
    parts = [data.load("webdataset", split, root=root, shards=pattern, val_fraction=0.4) for split in ("train", "val")]
    names = [part.image_name(index) for part in parts for index in range(len(part))]
    assert sorted(names) == [f"frame{index}" for index in range(5)]


def test_names_in_several_shards_have_their_shard(root):
    write(root / "train-001.tar", sample(3, name="frame0"))
    assert data.load("webdataset", "train", root=root).image_name(0) == "train-000/frame0"


@pytest.mark.parametrize("mask", ["mask.png", "label.png", "tif"])
def test_mask_is_found_by_its_ending(tmp_path, mask):
    stream = io.BytesIO()
    Image.fromarray(PICTURES[0]).save(stream, "JPEG")
    content = io.BytesIO()
    Image.fromarray(MASKS[0]).save(content, "TIFF" if mask == "tif" else "PNG")
    files = {"a/x.jpg": stream.getvalue(), f"a/x.{mask}": content.getvalue(), "a/x.json": b"{}", "a/x.cls": b"3"}
    write(tmp_path / "train.tar", files)
    dataset = data.load("webdataset", "train", root=tmp_path, classes=["ground", "thing"])
    assert dataset.image_name(0) == "a/x"
    assert np.array_equal(dataset[0].label, MASKS[0])


def test_nothing_is_unpickled(root):
    write(
        root / "train-001.tar",
        sample(3) | {"frame3.pyd": b"cos\nsystem\n(S'false'\ntR.", "frame3.pickle": b"\x80\x04."},
    )
    dataset = data.load("webdataset", "train", root=root)
    assert np.array_equal(dataset[3].image, PICTURES[3])


def test_links_in_a_shard_are_no_samples(root):
    with tarfile.open(root / "val-000.tar", "a") as archive:
        link = tarfile.TarInfo("evil.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(data.load("webdataset", "val", root=root)) == 2


def test_shards_of_the_webdataset_package_are_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "train-%03d.tar"), maxcount=2, verbose=0) as writer:
        for index in range(3):
            writer.write({"__key__": f"k{index}", "png": PICTURES[index], "mask.png": MASKS[index]})
    dataset = data.load("webdataset", "train", root=tmp_path, classes=["ground", "thing"])
    assert len(dataset) == 3
    assert np.array_equal(dataset[2].image, PICTURES[2])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda root: None, {"shards": "pets-*.tar"}, r"no shard matches pets-\*\.tar; give the data option shards"),
        (lambda root: None, {"shards": "train-{000..002}.tar"}, r"1 of 3 shards are missing, such as train-002\.tar"),
        (
            lambda root: None,
            {"mask": "ids.png"},
            r"no mask for 5 of 5 samples, such as frame0, .*which has png, seg\.png",
        ),
        (lambda root: None, {"image": "jpg"}, r"sample frame0 has no image jpg; it has png, seg\.png"),
        (lambda root: None, {"val_fraction": 0.2}, r"webdataset has a split val; leave val_fraction out"),
        (lambda root: write(root / "train-000.tar", sample(0), "w:gz"), {}, r"no uncompressed tar archive, or damaged"),
        (
            lambda root: (root / "train-000.tar").write_bytes(b"no archive"),
            {},
            r"no uncompressed tar archive, or damaged",
        ),
    ],
)
def test_shards_that_cannot_be_used_are_named(root, change, options, message):
    change(root)
    with pytest.raises(ValueError, match=message):
        data.load("webdataset", "train", root=root, **options)


def test_a_damaged_image_names_shard_and_member(root):
    write(root / "train-000.tar", {**sample(0), "frame0.png": b"no picture"})
    with pytest.raises(ValueError, match=r"train-000\.tar/frame0\.png: unreadable image"):
        data.load("webdataset", "train", root=root)[0]


def test_a_member_of_gigabytes_is_refused_before_it_is_read(root):
    files = sample(0)
    write(root / "train-000.tar", files)
    (root / "train-001.tar").unlink()
    with (root / "train-002.tar").open("wb") as shard:  # zeros that take no place on the disk
        for name in ("big.png", "big.seg.png"):
            member = tarfile.TarInfo(name)
            member.size = 2**30 + 512
            shard.write(member.tobuf())
            shard.seek(member.size, 1)
        shard.truncate()
    dataset = data.load("webdataset", "train", root=root)
    assert dataset.image_name(0) == "big"
    with pytest.raises(
        ValueError, match=r"train-002\.tar/big\.\w+(\.png)?: 1,073,742,336 bytes; at most 1,073,741,824 are read"
    ):
        dataset[0]
