"""Labels with nothing to learn or to score: refused or told before the first step, and only after all labels were read."""

import shlex

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.cli.values import name_values
from segattn.config import Data
from segattn.data import Dataset, Sample
from segattn.data.files.pairs import Pair, paired_dataset
from segattn.data.splits import notices, open_data, open_split
from segattn.data.tools.labels import refuse_unscorable, unlearnable, unscorable

USUAL = [[0, 1, 255]]


def write(root, train=(USUAL, USUAL), val=(USUAL,), names="background\nthing"):
    """A folder of masks, one for each array given; the images are black."""
    for split, masks in (("train", train), ("val", val)):
        for index, mask in enumerate(masks):
            for kind, picture in (
                ("images", np.zeros((*np.shape(mask), 3), np.uint8)),
                ("masks", np.array(mask, np.uint8)),
            ):
                folder = root / kind / split
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(folder / f"{index:02d}.png")
    (root / "classes.txt").write_text(names)
    return Data(name="folder", root=str(root))


def loaded(section, split, limit):
    """A split of which at most `limit` samples were read as the sample."""
    dataset = data.load(section.name, split, root=section.root)
    data.verify(dataset, limit=limit)
    return dataset


def test_usual_labels_are_learnt_and_scored_without_a_word(tmp_path):
    splits = open_data(write(tmp_path))
    assert [split.labels.classes for split in splits] == [(0, 1), (0, 1)]
    assert notices(*splits) == []
    refuse_unscorable(splits[1])


def test_masks_of_0_and_255_are_refused_and_the_option_reads_them(tmp_path):
    section = write(tmp_path, train=[[[0, 255]], [[255, 0]]], val=[[[0, 255]]])
    with pytest.raises(
        ValueError, match=r"folder train has one class to learn.*all labels \(2\) hold 0 \(background\)"
    ) as error:
        open_data(section)
    assert "write 1 instead of 255, or add --data-options 'values={255: thing}'" in str(error.value)
    with pytest.raises(ValueError, match=r"folder val has one class to score.*values=\{255: thing\}"):
        refuse_unscorable(open_split(section, "val", None))
    train_set, val_set = open_data(Data(name="folder", root=str(tmp_path), options={"values": {"255": "thing"}}))
    assert train_set[1].label.tolist() == [[1, 0]]
    refuse_unscorable(val_set)


@pytest.mark.parametrize("name", ["thing", "[/red]", "no", "traffic light", "it's: #1", "a, b", "12", "{x}"])
def test_the_option_that_is_advised_is_read_whatever_the_class_is_called(name, tmp_path):
    section = write(tmp_path, train=[[[0, 255]], [[255, 0]]], val=[[[0, 255]]], names=f"background\n{name}")
    with pytest.raises(ValueError, match="add --data-options") as error:
        open_data(section)
    word = shlex.split(str(error.value).partition("--data-options ")[2])[0]
    train_set, _ = open_data(Data(name="folder", root=str(tmp_path), options=name_values(word)))
    assert train_set[1].label.tolist() == [[1, 0]]


def test_training_labels_that_are_all_ignored_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"folder train has no label to learn from: every pixel of all labels \(2\) is 255"
    ):
        open_data(write(tmp_path, train=[[[255, 255]], [[255, 255]]]))


def test_training_labels_of_one_class_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"train has one class to learn.*every labelled pixel of all labels \(2\) is thing"
    ):
        open_data(write(tmp_path, train=[[[1, 1]], [[1, 255]]]))


def test_list_of_one_class_is_refused_with_advice(tmp_path):
    section = write(tmp_path, train=[[[0, 0]]], val=[[[0, 0]]], names="thing")
    for split in ("train", "val"):
        with pytest.raises(ValueError, match=r"one class \(thing\).*name two: background first, then the object"):
            open_split(section, split, None)


def test_validation_labels_that_are_all_ignored_are_told_and_cannot_be_scored(tmp_path):
    splits = open_data(write(tmp_path, val=[[[255, 255]]]))
    said = "folder val: every pixel is ignored (label 255); there is nothing to score"
    assert notices(*splits) == [f"{said}. No scores are computed."]
    with pytest.raises(ValueError, match="there is nothing to score; score another split"):
        refuse_unscorable(splits[1])


def test_validation_labels_of_one_class_are_told_and_scored(tmp_path):
    splits = open_data(write(tmp_path, val=[[[0, 0]]]))
    assert notices(*splits) == [
        "folder val: every labelled pixel is background; its score says nothing about the other classes."
    ]
    refuse_unscorable(splits[1])


def test_split_without_labels_is_told(tmp_path):
    section = write(tmp_path)
    (tmp_path / "images/test").mkdir()
    Image.new("RGB", (3, 1)).save(tmp_path / "images/test/0.png")
    test_set = open_split(section, "test", None)
    assert unscorable(test_set) == "folder test has no labels to score against"
    assert unlearnable(test_set).startswith("folder test has no labels to learn from")


def test_suspicious_sample_is_an_error_only_if_all_labels_are_so(tmp_path):
    masks = [[[0, 255]]] * 9
    assert "all labels (9)" in unlearnable(loaded(write(tmp_path / "none", train=masks), "train", 2))
    masks = [*masks[:4], [[0, 1]], *masks[5:]]
    dataset = loaded(write(tmp_path / "one", train=masks), "train", 2)
    assert dataset.labels.classes == (0, 1)
    assert unlearnable(dataset) == unscorable(dataset) == ""
    said = "most labels hold one class or none; among all 9, these were met first: background, thing."
    assert notices(dataset) == [f"folder train: {said}"]


def test_usual_sample_is_enough_and_no_other_label_is_read(tmp_path, monkeypatch):
    section = write(tmp_path, train=[USUAL] * 9)

    def fail(self, index):
        raise AssertionError(f"label {index} was read")

    monkeypatch.setattr(Dataset, "label", fail)
    assert loaded(section, "train", 2).labels.classes == (0, 1)


def test_label_alone_is_read_without_its_image(tmp_path):
    dataset = data.load("folder", "train", root=write(tmp_path).root)
    (tmp_path / "images/train/01.png").write_bytes(b"")
    assert dataset.label(1).tolist() == USUAL


def test_255_of_masks_that_store_other_ignored_values_is_no_second_class(tmp_path):
    """As in Cityscapes, where several ids are ignored: one class and ignored pixels are what they seem."""
    write(tmp_path, train=[[[7, 3]]], names="road\nsky")
    pair = Pair("00", tmp_path / "images/train/00.png", tmp_path / "masks/train/00.png")
    dataset = paired_dataset(
        "city",
        "val",
        [pair],
        class_names=("road", "sky"),
        palette=((0, 0, 0), (1, 1, 1)),
        mapping={7: 0, 3: 255, 23: 1},
    )
    data.verify(dataset)
    assert unscorable(dataset) == ""
    assert notices(dataset) == [
        "city val: every labelled pixel is road; its score says nothing about the other classes."
    ]


def test_labels_in_memory_are_asked_too():
    samples = [
        Sample(np.zeros((1, 2, 3), np.uint8), np.array([[0, value]], np.uint8), str(value)) for value in (255, 255, 1)
    ]
    for count, classes in ((2, (0,)), (3, (0, 1))):
        dataset = Dataset(
            name="mine", split="train", class_names=("a", "b"), palette=((0, 0, 0), (1, 1, 1)),
            image_names=["0", "1", "2"][:count], read=samples.__getitem__, from_files=False,
        )  # fmt: skip
        data.verify(dataset)
        assert dataset.labels.classes == classes
        assert bool(unlearnable(dataset)) == (count == 2)
