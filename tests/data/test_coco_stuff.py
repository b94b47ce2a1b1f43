import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data import coco_stuff


def write(root, folder, values, ending=".png"):
    for part in ("images", "annotations"):
        (root / part / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (len(values), 1)).save(root / "images" / folder / "000000000009.jpg")
    Image.fromarray(np.array([values], np.uint8)).save(root / "annotations" / folder / f"000000000009{ending}")


def test_182_ids_become_171_classes_in_order():
    assert sorted(coco_stuff.CLASS_OF_ID.values()) == list(range(171))
    assert list(coco_stuff.CLASS_OF_ID) == sorted(coco_stuff.CLASS_OF_ID)
    assert len(coco_stuff.CLASS_NAMES) == len(set(coco_stuff.CLASS_NAMES)) == 171
    # id + 1 and name as in the authors' labels.txt, around the ids that are not used
    known = {0: "person", 9: "traffic light", 10: "fire hydrant", 12: "stop sign", 24: "giraffe", 26: "backpack"}
    known |= {43: "bottle", 45: "wine glass", 66: "dining table", 69: "toilet", 89: "toothbrush", 91: "banner"}
    known |= {148: "road", 156: "sky-other", 168: "tree", 181: "wood"}
    assert {i: coco_stuff.CLASS_NAMES[coco_stuff.CLASS_OF_ID[i]] for i in known} == known


def test_raw_ids_are_mapped_while_reading(tmp_path):
    write(tmp_path, "val2017", [0, 12, 181, 255])
    assert data.load("coco_stuff", "val", root=tmp_path)[0].label.tolist() == [[0, 11, 170, 255]]


@pytest.mark.parametrize("unused", [11, 182])
def test_an_id_that_never_occurs_is_refused(tmp_path, unused):
    write(tmp_path, "val2017", [0, unused])
    with pytest.raises(ValueError, match=f"label value {unused} .* allowed are 0 to 10, 12 to 24, 26"):
        data.load("coco_stuff", "val", root=tmp_path)[0]


def test_converted_masks_are_preferred_and_taken_as_they_are(tmp_path):
    write(tmp_path, "val2017", [12])
    write(tmp_path, "val2017", [11, 170, 255], "_labelTrainIds.png")
    Image.new("RGB", (3, 1)).save(tmp_path / "images/val2017/000000000009.jpg")
    assert data.load("coco_stuff", "val", root=tmp_path)[0].label.tolist() == [[11, 170, 255]]


def test_the_10k_form_counts_from_one_and_ignores_zero(tmp_path):
    write(tmp_path, "train2014", [0, 1, 171], "_labelTrainIds.png")
    write(tmp_path, "test2014", [2], "_labelTrainIds.png")
    dataset = data.load("coco_stuff", "train", root=tmp_path)
    assert dataset[0].label.tolist() == [[255, 0, 170]]
    assert "0 (unlabelled) is ignored" in dataset.notice
    assert data.load("coco_stuff", "val", root=tmp_path)[0].label.tolist() == [[1]]
    with pytest.raises(ValueError, match="test2014 is the split 'val'"):
        data.load("coco_stuff", "test", root=tmp_path)


def test_both_forms_in_one_folder_are_told_apart_by_name(tmp_path):
    write(tmp_path, "train2014", [1], "_labelTrainIds.png")
    write(tmp_path, "train2017", [1])
    assert data.load("coco_stuff", "train", root=tmp_path)[0].label.tolist() == [[1]]
    assert data.load("coco_stuff", "train", root=tmp_path, version="10k")[0].label.tolist() == [[0]]
    with pytest.raises(ValueError, match=r"no version '9k'; versions: 164k, 10k"):
        data.load("coco_stuff", "train", root=tmp_path, version="9k")
