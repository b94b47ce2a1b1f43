import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.tools import make
from segattn.data.tools.check import check

RED = Image.new("RGB", (7, 5), (200, 0, 0))


@pytest.fixture
def root(tmp_path):
    """Three training and two validation pairs of two classes, all good and all different."""
    (tmp_path / "classes.txt").write_text("ground\nthing\n")
    for split, count in (("train", 3), ("val", 2)):
        for part in ("images", "masks"):
            (tmp_path / part / split).mkdir(parents=True)
        for index in range(count):
            put(tmp_path, f"{split}/{index}", np.array([[0, 1, 255]] * 5), shade=40 * index + 11 * (split == "val"))
    return tmp_path


def put(root, name, mask, shade=0, size=None):
    mask = np.asarray(mask, np.uint8)
    Image.new("RGB", size or mask.shape[1::-1], (shade, 9, 9)).save(root / "images" / f"{name}.png")
    Image.fromarray(mask).save(root / "masks" / f"{name}.png")


def faults(root, **options):
    return {kind: finding.count for kind, finding in check("folder", root=root, **options).faults.items()}


def test_good_data_is_counted(root):
    report = check("folder", root=root)
    assert report.good
    train, val = report.splits
    assert train.class_pixels[[0, 1, 255]].tolist() == [15, 15, 15]
    assert val.class_pixels[[0, 1, 255]].tolist() == [10, 10, 10]
    assert train.class_images[[0, 1, 255]].tolist() == [3, 3, 3]
    assert train.sizes == {(5, 3): 3}
    assert train.modes == {"grey, 8 bits": 3}
    assert list(report.absent) == ["test"]
    assert not report.remarks


def test_it_does_not_stop_at_the_first_fault(root):
    put(root, "train/0", [[0, 2, 7]], shade=201)
    (root / "images/train/1.png").write_bytes(b"no picture")
    put(root, "train/2", [[0, 1]], shade=203, size=(3, 1))
    (root / "masks/val/0.png").unlink()
    Image.new("RGB", (3, 5), (100, 9, 9)).save(root / "images/val/lone.png")
    Image.new("RGB", (3, 5), (0, 9, 0)).save(root / "masks/val/1.png")
    report = check("folder", root=root)
    assert {kind: finding.count for kind, finding in report.faults.items()} == {
        "files without a partner": 1,
        "label value 2": 1,
        "label value 7": 1,
        "unreadable images": 1,
        "masks of another size than their image": 1,
        "masks of colours instead of indices": 1,
    }
    assert "0.png" in report.faults["files without a partner"].examples[0]
    assert "1 pixels; allowed are 0 to 1 and 255" in report.faults["label value 2"].examples[0]


def test_masks_of_0_and_255_are_told_what_to_write(root):
    for index in range(3):
        put(root, f"train/{index}", [[0, 255, 255] if index else [0, 0, 0]], shade=40 * index)
    report = check("folder", root=root, splits=["train"])
    assert list(report.faults) == ["masks of 0 and 255"]
    assert "write 1 instead of 255" in report.faults["masks of 0 and 255"].examples[0]


def test_one_picture_in_two_splits_is_a_fault_and_twice_in_one_a_remark(root):
    RED.resize((3, 5)).save(root / "images/train/0.png")
    RED.resize((3, 5)).save(root / "images/val/1.png", compress_level=0)  # other bytes, the same pixels
    report = check("folder", root=root)
    assert report.faults["one picture in several splits"].examples == ["train/0 = val/1"]
    RED.resize((3, 5)).save(root / "images/train/0.png")
    put(root, "val/1", [[0, 1, 1]] * 5, shade=77)
    RED.resize((3, 5)).save(root / "images/train/1.png")
    report = check("folder", root=root)
    assert report.good
    assert report.remarks["one picture twice in a split"].examples == ["train/0 = train/1"]


def test_masks_without_a_counted_pixel_and_classes_that_never_occur_are_remarked(root):
    for index in range(3):
        put(root, f"train/{index}", [[0, 2, 0] if index else [255, 255, 255]], shade=40 * index)
    (root / "classes.txt").write_text("ground\nthing\nother\n")
    report = check("folder", root=root, splits=["train"])
    assert report.good
    assert report.remarks["masks without a pixel that counts"].examples == ["train/0"]
    assert report.remarks["classes that no training image has"].examples == ["thing"]


def test_a_split_that_cannot_be_opened_is_a_fault_unless_it_is_test(root):
    assert faults(root, splits=["train", "val", "test"]) == {}
    for file in (root / "images/val").iterdir():
        file.unlink()
    report = check("folder", root=root)
    assert "no image in this folder" in report.faults["splits that cannot be opened"].examples[0]
    with pytest.raises(ValueError, match="gone: no such folder"):
        check("folder", root=root / "gone")


def test_many_faults_of_a_kind_are_counted_and_a_few_shown(root):
    for index in range(13):
        put(root, f"train/{index + 10}", [[0, 3, 1]], shade=120 + index)
    finding = check("folder", root=root).faults["label value 3"]
    assert (finding.count, len(finding.examples)) == (13, 5)


@pytest.mark.parametrize("layout", ["cityscapes", "ade20k", "voc", "coco_stuff", "camvid"])
def test_the_real_layouts_pass_and_count_by_class(layout, tmp_path):
    make.make(layout, tmp_path, images=2, size=(37, 53))
    report = check(layout, root=tmp_path)
    assert report.good, report.faults
    dataset = data.load(layout, "train", root=tmp_path)
    expected = sum(np.bincount(sample.label.ravel(), minlength=256) for sample in dataset)
    assert np.array_equal(report.splits[0].class_pixels, expected)


def test_generated_data_can_be_checked_too():
    report = check("streets", splits=["val"], options={"height": 32, "width": 64, "num_images": 3})
    assert report.good
    assert report.splits[0].class_pixels.sum() == 3 * 32 * 64
    with pytest.raises(ValueError, match="no option 'hieght'"):
        check("streets", splits=["val"], options={"hieght": 32})


def test_labels_with_nothing_to_learn_and_a_single_class_are_faults(root):
    for index in range(3):
        put(root, f"train/{index}", [[1, 1, 1]] * 5, shade=40 * index)
        put(root, f"val/{index}", [[255, 255, 255]] * 5, shade=40 * index + 11)
    faults_of_both = check("folder", root=root, splits=["train", "val"]).faults
    assert list(faults_of_both) == ["labels with nothing to learn"]
    train, val = faults_of_both["labels with nothing to learn"].examples
    assert train.startswith("folder train has one class to learn")
    assert val == "folder val: every pixel is ignored (label 255); there is nothing to score"
    (root / "classes.txt").write_text("thing\n")
    single = check("folder", root=root, splits=["val"]).faults
    assert list(single) == ["a single class"]
    assert "name two: background first, then the object" in single["a single class"].examples[0]


def test_colour_masks_are_counted_by_class_and_unknown_colours_by_pixel(root):
    (root / "classes.txt").unlink()
    (root / "classes.json").write_text('{"ground": [9, 0, 0], "thing": [0, 9, 0]}')
    colours = np.array([[[9, 0, 0], [0, 9, 0], [1, 2, 3]]] * 5, np.uint8)
    for split, count in (("train", 3), ("val", 2)):
        for index in range(count):
            Image.fromarray(colours).save(root / f"masks/{split}/{index}.png")
    report = check("folder", root=root)
    assert {kind: finding.count for kind, finding in report.faults.items()} == {"label colour (1, 2, 3)": 5}
    assert "5 pixels; allowed are (9, 0, 0), (0, 9, 0)" in report.faults["label colour (1, 2, 3)"].examples[0]
    assert report.splits[0].class_pixels[[0, 1, 255]].tolist() == [15, 15, 0]
    assert report.splits[0].modes == {"colours": 3}
    report = check("folder", root=root, options={"ignore": [[1, 2, 3]]})
    assert report.good
    assert report.splits[0].class_pixels[255] == 15


def test_values_of_no_class_are_counted_where_they_are_ignored(root):
    put(root, "train/0", [[0, 1, 7]] * 5)
    report = check("folder", root=root, options={"others": "ignore", "values": {0: "ground", 1: "thing"}})
    assert report.good
    assert "value 7 (5 pixels) of no class in 1 mask" in report.remarks["ignored values of no class"].examples[0]


def test_masks_of_another_size_are_no_fault_where_they_are_resized(root):
    put(root, "train/0", [[0, 1, 1]] * 5, size=(6, 10))
    assert "masks of another size than their image" in faults(root)
    assert faults(root, options={"resize_masks": "nearest"}) == {}
    put(root, "train/0", [[0, 1, 1]] * 5, size=(10, 6))
    assert faults(root, options={"resize_masks": "nearest"}) == {"masks of another size than their image": 1}
