import numpy as np
import pytest
from PIL import Image

from segattn import data


def write(root, values):
    for part, ending in (("images", "jpg"), ("annotations", "png")):
        (root / part / "training").mkdir(parents=True, exist_ok=True)
        picture = np.array([values], np.uint8) if ending == "png" else np.zeros((1, len(values), 3), np.uint8)
        Image.fromarray(picture).save(root / part / "training" / f"ADE_train_00000001.{ending}")


def test_zero_is_ignored_and_said_so_and_one_is_the_first_class(tmp_path):
    write(tmp_path, [0, 1, 21, 150])
    dataset = data.load("ade20k", "train", root=tmp_path)
    assert dataset[0].label.tolist() == [[255, 0, 20, 149]]
    assert "mask value 0 (none of the 150 classes) is ignored" in dataset.notice
    assert dataset.first(1).notice == dataset.notice


def test_a_value_above_150_is_refused(tmp_path):
    write(tmp_path, [1, 151])
    with pytest.raises(ValueError, match=r"label value 151 .* allowed are 0 to 150 and 255"):
        data.load("ade20k", "train", root=tmp_path)[0]


def test_the_classes_stand_in_the_order_of_the_challenge(tmp_path):
    write(tmp_path / "ADEChallengeData2016", [1])
    dataset = data.load("ade20k", "train", root=tmp_path)
    assert dataset.num_classes == len(set(dataset.class_names)) == 150
    # lines 1, 13, 21, 94 and 150 of objectInfo150
    assert [dataset.class_names[index] for index in (0, 12, 20, 93, 149)] == ["wall", "person", "car", "pole", "flag"]
    # and of the toolkit's colours
    assert [dataset.palette[index] for index in (0, 2, 149)] == [(120, 120, 120), (6, 230, 230), (92, 0, 255)]
