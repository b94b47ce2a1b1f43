import json

import numpy as np
import pytest
import yaml
from PIL import Image

from segattn import data
from segattn.data.folder import read_classes


def write_pair(image, mask, value=0):
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (7, 5), (10, 20, 30)).save(image)
    if mask is not None:
        Image.fromarray(np.full((5, 7), value, np.uint8)).save(mask)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "classes.txt").write_text("road\nsky blue\n\n")
    return tmp_path


def test_splits_as_subfolders_of_images_and_masks(root):
    write_pair(root / "images/train/a.png", root / "masks/train/a.png", 1)
    dataset = data.load("folder", "train", root=root)
    assert dataset.class_names == ("road", "sky blue")
    assert dataset[0].name == "a"
    assert dataset[0].image[0, 0].tolist() == [10, 20, 30]
    assert dataset[0].label.tolist() == [[1] * 7] * 5


def test_splits_as_folders_that_hold_images_and_masks(root):
    write_pair(root / "val/photos/a.png", root / "val/labels/a.png")
    assert len(data.load("folder", "val", root=root, images="photos", masks="labels")) == 1


def test_splits_as_lists_of_names(root):
    for name in ("a", "b", "c"):
        write_pair(root / f"images/{name}.png", root / f"masks/{name}.png")
    (root / "train.txt").write_text("c\na\n")
    dataset = data.load("folder", "train", root=root)
    assert [dataset.image_name(i) for i in range(len(dataset))] == ["a", "c"]


def test_a_listed_name_without_a_file_is_named(root):
    write_pair(root / "images/a.png", root / "masks/a.png")
    (root / "train.txt").write_text("a\nq\n")
    with pytest.raises(ValueError, match="no image named q"):
        data.load("folder", "train", root=root)


def test_test_may_lack_masks_and_train_may_not(root):
    for split in ("test", "train"):
        write_pair(root / f"images/{split}/a.png", root / "elsewhere/a.png")
    assert data.load("folder", "test", root=root)[0].label is None
    with pytest.raises(ValueError, match=r"masks/train: no such folder of masks"):
        data.load("folder", "train", root=root)


def test_a_missing_split_lists_the_layouts(root):
    with pytest.raises(ValueError, match=r"no split 'val'; expected images/val/ and masks/val/, or val/images/"):
        data.load("folder", "val", root=root)


def test_a_missing_root_or_class_list_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="needs the folder of your data"):
        data.load("folder", "train")
    with pytest.raises(ValueError, match="gone: no such folder"):
        data.load("folder", "train", root=tmp_path / "gone")
    with pytest.raises(ValueError, match=r"no class list; write classes\.txt"):
        data.load("folder", "train", root=tmp_path)


def test_a_value_outside_the_classes_names_file_and_value(root):
    write_pair(root / "images/train/a.png", root / "masks/train/a.png", 2)
    with pytest.raises(ValueError, match=r"a\.png: label value 2 .* allowed are 0 to 1 and 255"):
        data.load("folder", "train", root=root)[0]


@pytest.mark.parametrize(
    "content",
    [{"road": [1, 2, 3], "sky": None}, [{"name": "road", "colour": [1, 2, 3]}, "sky"]],
    ids=["mapping", "list"],
)
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_class_lists_may_give_colours(tmp_path, content, suffix):
    path = tmp_path / f"classes.{suffix}"
    path.write_text(json.dumps(content) if suffix == "json" else yaml.safe_dump(content, sort_keys=False))
    names, palette = read_classes(path)
    assert names == ["road", "sky"]
    assert palette[0] == (1, 2, 3)


def test_colours_that_are_not_given_differ(tmp_path):
    (tmp_path / "classes.txt").write_text("\n".join(f"class {index}" for index in range(23)))
    assert len(set(read_classes(tmp_path / "classes.txt")[1])) == 23


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", "", "names no class"),
        ("classes.txt", "a\nb\na", "class name 'a' is given twice"),
        ("classes.json", "[", "not readable as json"),
        ("classes.yaml", "a: [", "not readable as yaml"),
        ("classes.json", "3", "expected a list of names"),
        ("classes.json", '{"a": [1, 2]}', r"colour \[1, 2\] of class 'a'"),
        ("classes.json", '{"a": [1, 2, 256]}', r"colour \[1, 2, 256\]"),
        ("classes.json", '[{"nom": "a"}]', "expected name and colour"),
    ],
)
def test_broken_class_lists_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_classes(tmp_path / name)
    assert name in str(caught.value)


def test_values_name_the_class_of_a_stored_value(root):
    for name, value in (("a", 255), ("b", 7), ("c", 1)):
        write_pair(root / f"images/val/{name}.png", root / f"masks/val/{name}.png", value)
    dataset = data.load("folder", "val", root=root, values={255: "sky blue", "7": "road"})
    assert [sample.label[0, 0] for sample in dataset] == [1, 0, 1]
    with pytest.raises(ValueError, match="label value 7"):
        list(data.load("folder", "val", root=root, values={255: "road"}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({255: "sky"}, "255 is 'sky', which is none of its classes: road, sky blue"),
        ({65536: "road"}, "65536 is no value of a mask; give 0 to 65535"),
        ({"x": "road"}, "'x' is no value of a mask"),
        ([255], r"values of data set folder should be {VALUE: CLASS}, such as {255: sky blue}, not \[255\]"),
    ],
)
def test_values_that_mean_nothing_are_refused(root, values, message):
    write_pair(root / "images/val/a.png", root / "masks/val/a.png")
    with pytest.raises(ValueError, match=message):
        data.load("folder", "val", root=root, values=values)
