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


# Other layouts ----------------------------------------------------------------------------------------------------------
def names_of(dataset):
    return [dataset.image_name(index) for index in range(len(dataset))]


@pytest.mark.parametrize(
    ("files", "options", "expected"),
    [
        (
            ("rgb/train/a b/1.jpg", "rgb/train/2.JPG", "gt/train/a b/1.png", "gt/train/2.png"),
            {"images": "rgb/{split}/**/*.jpg", "masks": "gt/{split}/**/*.png"},
            ["2", "a b/1"],
        ),
        (
            ("rgb/train/1.jpg", "rgb/train/2.PNG", "gt/train/1.png", "gt/train/2.png"),
            {"images": "rgb/{split}/*", "masks": "gt/{split}/*"},
            ["1", "2"],
        ),
        (
            ("images/train/1.jpg", "masks/train/1_mask.png"),
            {"masks": "masks/{split}/*_mask.png"},
            ["1"],
        ),
        (
            (
                "left/train/ulm/u_left.png",
                "gt/train/ulm/u_ids.png",
                "gt/train/ulm/u_color.png",
                "left/val/x/v_left.png",
            ),
            {"images": "_left.png", "masks": "_ids.png"},
            ["u"],
        ),
        (
            ("train/1.jpg", "train/1_mask.png", "val/1.jpg", "val/1_mask.png"),
            {"images": ".jpg", "masks": "_mask.png"},
            ["1"],
        ),
        (
            ("train/1.png", "train/1_mask.png"),
            {"images": ".png", "masks": "_mask.png"},
            ["1"],
        ),
        (
            ("a/rgb/train/1.jpg", "a/seg/train/1.png", "b/rgb/train/1.jpg", "b/seg/train/1.png"),
            {"images": "*/rgb/{split}/*.jpg", "masks": "*/seg/{split}/*.png"},
            ["a/1", "b/1"],
        ),
        (
            ("deep/er/train/1.jpg", "flat/train/1.png"),
            {"images": "deep/**/{split}/*.jpg", "masks": "flat/{split}/*.png"},
            ["1"],
        ),
        (
            ("images/training/1.jpg", "masks/training/1.png"),
            {"splits": {"train": "training"}},
            ["1"],
        ),
        (
            ("rgb/train/1.jpg", "rgb/train/2.png", "rgb/train/3.bmp", "gt/train/1.png", "gt/train/2.png"),
            {"images": "rgb/{split}/*.{jpg,png}", "masks": "gt/{split}/*.png"},
            ["1", "2"],
        ),
    ],
    ids=[
        "pattern",
        "any ending",
        "folder and pattern",
        "cityscapes",
        "flat",
        "one ending",
        "wildcards",
        "deep",
        "named",
        "braces",
    ],
)
def test_other_layouts_are_read_with_patterns_and_suffixes(root, files, options, expected):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        image = any(part in file for part in ("rgb", "left", "images", "deep")) or file.endswith(
            (".jpg", "train/1.png")
        )
        Image.new("RGB" if image and "masks" not in file else "L", (7, 5)).save(root / file)
    dataset = data.load("folder", "train", root=root, **options)
    assert names_of(dataset) == expected
    assert dataset[0].label.shape == (5, 7)


def test_two_masks_of_one_image_are_named(root):
    write_pair(root / "images/train/a.png", root / "masks/train/a.png")
    write_pair(root / "images/train/a.png", root / "masks/train/a.tif")
    with pytest.raises(ValueError, match=r"a\.tif and .*a\.png are both the mask a; keep one of them"):
        data.load("folder", "train", root=root, masks="masks/{split}/*")


def test_masks_as_jpeg_are_refused(root):
    write_pair(root / "images/train/a.png", root / "masks/train/a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg: a mask as JPEG, which changes the values"):
        data.load("folder", "train", root=root, masks="masks/{split}/*.jpg")


def test_a_pattern_that_matches_nothing_says_what_is_there(root):
    write_pair(root / "images/train/a.png", root / "masks/train/a.png")
    with pytest.raises(ValueError, match=r"no mask matches masks/train/\*\.gif; there are a\.png"):
        data.load("folder", "train", root=root, masks="masks/{split}/*.gif")


def test_no_pair_at_all_gives_counts_names_and_a_pattern(root):
    for index in range(5):
        write_pair(root / f"images/train/{index}.png", root / f"masks/train/{index}_mask.png")
    with pytest.raises(ValueError, match="none of the names are the same") as caught:
        data.load("folder", "train", root=root)
    assert "has 5 images named 0, 1, 2 and 2 more" in str(caught.value)
    assert "has 5 masks named 0_mask, 1_mask, 2_mask and 2 more" in str(caught.value)
    assert "masks='masks/{split}/*_mask.png'" in str(caught.value)
    assert len(data.load("folder", "train", root=root, masks="masks/{split}/*_mask.png")) == 5


# Lists ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "a 1\nb\n",
        "a 1.png\r\nb.PNG\r\n",
        "\ufeff# a comment\n\na 1\n\n  b  \n",
        "images/a 1.png\nimages/b.PNG\n",
        "/images/a 1.png\n.\\images\\b.PNG\n",
        "images/a 1.png masks/a 1.png\nimages/b.PNG masks/b.png\n",
        "images/a 1.png\tmasks/a 1.png\nimages/b.PNG\tmasks/b.png\n",
        "images/a 1.png,masks/a 1.png\nimages/b.PNG, masks/b.png\n",
        "a 1.png a 1.png\nb b\n",
        "a 1\na 1\nb",
    ],
)
def test_lists_name_images_in_many_ways(root, text):
    for name, ending in (("a 1", "png"), ("b", "PNG"), ("c", "png")):
        write_pair(root / f"images/{name}.{ending}", root / f"masks/{name}.png", 1)
    (root / "train.txt").write_bytes(text.encode())
    dataset = data.load("folder", "train", root=root)
    assert [name.rpartition("/")[2] for name in names_of(dataset)] == ["a 1", "b"]
    assert all(sample.label.max() == 1 for sample in dataset)


def test_a_list_of_two_paths_needs_no_names_and_no_folders(root):
    write_pair(root / "photos/one.png", root / "labels/uno.png", 1)
    (root / "lists").mkdir()
    (root / "lists/train set.txt").write_text("photos/one.png labels/uno.png\n")
    dataset = data.load("folder", "train", root=root, lists="lists/{split} set.txt")
    assert names_of(dataset) == ["photos/one"]
    (root / "lists/train set.txt").write_text("photos/one.png labels/gone.png\n")
    with pytest.raises(ValueError, match=r"no mask labels/gone\.png of the image"):
        data.load("folder", "train", root=root, lists="lists/{split} set.txt")


def test_a_list_that_is_missing_is_named(root):
    with pytest.raises(ValueError, match=r"no list lists/val\.txt for the split 'val'"):
        data.load("folder", "val", root=root, lists="lists/{split}.txt")


# Splits by fraction -----------------------------------------------------------------------------------------------------
@pytest.fixture
def unsplit(root):
    for index in range(10):
        write_pair(root / f"images/{index}.png", root / f"masks/{index}.png")
    return root


def test_a_folder_without_splits_is_split_by_name(unsplit):
    train, val = (data.load("folder", split, root=unsplit) for split in ("train", "val"))
    assert sorted(names_of(train) + names_of(val)) == [str(index) for index in range(10)]
    assert len(val) >= 1
    assert f"{len(train)} for training, {len(val)} for validation" in train.notice
    other = data.load("folder", "val", root=unsplit, split_seed=1, val_fraction=0.5)
    assert names_of(other) != names_of(val)
    with pytest.raises(ValueError, match="no split 'test'"):
        data.load("folder", "test", root=unsplit)


def test_validation_may_be_taken_from_train(root):
    for index in range(10):
        write_pair(root / f"images/train/{index}.png", root / f"masks/train/{index}.png")
    with pytest.raises(ValueError, match=r"no split 'val'.*add the data option val_fraction=0.2"):
        data.load("folder", "val", root=root)
    assert len(data.load("folder", "train", root=root)) == 10
    with pytest.raises(ValueError, match=r"no split 'train'; expected .*, or first\.txt beside images/"):
        data.load("folder", "val", root=root, splits={"train": "first", "test": "train"}, val_fraction=0.3)
    parts = [data.load("folder", split, root=root, val_fraction=0.3) for split in ("train", "val")]
    assert sorted(name for part in parts for name in names_of(part)) == [str(index) for index in range(10)]


def test_a_fraction_beside_a_validation_split_is_refused(root):
    for split in ("train", "val"):
        write_pair(root / f"images/{split}/a.png", root / f"masks/{split}/a.png")
    with pytest.raises(ValueError, match=r"has a split val \(val\); leave val_fraction out"):
        data.load("folder", "train", root=root, val_fraction=0.3)


@pytest.mark.parametrize("splits", [{"dev": "val"}, ["val"], 3])
def test_splits_that_are_none_are_refused(root, splits):
    with pytest.raises(ValueError, match=r"splits of data set folder should be {SPLIT: FOLDER}"):
        data.load("folder", "train", root=root, splits=splits)


# Sizes ------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def halved(root):
    """An image of 6x4 with a mask of 3x2."""
    write_pair(root / "images/val/a.png", root / "masks/val/a.png")
    Image.fromarray(np.arange(72, dtype=np.uint8).reshape(4, 6, 3)).save(root / "images/val/a.png")
    Image.fromarray(np.array([[0, 1, 0], [1, 0, 255]], np.uint8)).save(root / "masks/val/a.png")
    return root


def test_a_mask_of_another_size_is_refused_with_the_option(halved):
    with pytest.raises(ValueError, match=r"is 6x4 \(width x height\) but its label .* is 3x2.*resize_masks=nearest"):
        data.load("folder", "val", root=halved)[0]


def test_masks_are_resized_to_their_image(halved):
    sample = data.load("folder", "val", root=halved, resize_masks="nearest")[0]
    assert sample.image.shape == (4, 6, 3)
    assert sample.label.tolist() == [[0, 0, 1, 1, 0, 0]] * 2 + [[1, 1, 0, 0, 255, 255]] * 2


def test_images_are_resized_to_their_mask(halved):
    dataset = data.load("folder", "val", root=halved, resize_images="bilinear")
    assert dataset[0].image.shape == (2, 3, 3)
    assert dataset[0].label.shape == dataset.lazily(0).size == (2, 3)


def test_another_shape_is_not_resized(halved):
    Image.fromarray(np.zeros((6, 2), np.uint8)).save(halved / "masks/val/a.png")
    with pytest.raises(ValueError, match="height and width must have the same ratio"):
        data.load("folder", "val", root=halved, resize_masks="nearest")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize_masks": "bilinear"}, "resize_masks='bilinear' of data set folder; give nearest"),
        ({"resize_masks": "nearest", "resize_images": "bilinear"}, "contradict each other"),
    ],
)
def test_resizing_that_cannot_be_is_refused(halved, options, message):
    with pytest.raises(ValueError, match=message):
        data.load("folder", "val", root=halved, **options)


# What a run remembers ---------------------------------------------------------------------------------------------------
def test_another_meaning_of_the_marks_is_other_data(root):
    write_pair(root / "images/val/a.png", root / "masks/val/a.png", 7)
    (root / "classes.txt").unlink()

    def stored(values):
        entries = [{"name": name, "value": value} for name, value in zip(("road", "sky"), values, strict=True)]
        (root / "classes.json").write_text(json.dumps(entries))
        return data.load("folder", "val", root=root).stored(0)

    assert stored([7, 8]) == stored([7, 8])
    assert stored([7, 8]) != stored([8, 7])


def test_colours_for_display_are_no_part_of_the_data(root):
    write_pair(root / "images/val/a.png", root / "masks/val/a.png")
    plain = data.load("folder", "val", root=root).stored(0)
    (root / "classes.txt").unlink()
    (root / "classes.json").write_text('{"road": [1, 2, 3], "sky blue": [4, 5, 6]}')
    assert data.load("folder", "val", root=root).stored(0) == plain
