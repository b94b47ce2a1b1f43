import os

import numpy as np
import pytest

from segattn.data import Dataset, Sample


def dataset(**changes):
    settings = {
        "name": "toy",
        "split": "val",
        "class_names": ["a", "b"],
        "palette": [(1, 2, 3), (4, 5, 6)],
        "image_names": ["x", "y", "z"],
        "read": lambda index: Sample(np.full((2, 3, 3), index, np.uint8), None, "xyz"[index]),
        "from_files": False,
    }
    return Dataset(**{**settings, **changes})


def test_a_data_set_is_a_sequence():
    toy = dataset()
    assert len(toy) == 3
    assert [sample.name for sample in toy] == ["x", "y", "z"]
    assert toy[-1].image[0, 0, 0] == 2
    assert toy.image_name(-3) == "x"


@pytest.mark.parametrize("index", [3, -4])
def test_index_out_of_range_names_the_data_set(index):
    with pytest.raises(IndexError, match="toy val has 3 samples"):
        dataset()[index]


def test_colours_and_classes_must_be_as_many():
    with pytest.raises(ValueError, match="2 class names and 1 colours"):
        dataset(palette=[(1, 2, 3)])


@pytest.mark.parametrize("classes", [0, 256])
def test_labels_hold_1_to_255_classes(classes):
    with pytest.raises(ValueError, match=f"{classes} classes"):
        dataset(class_names=["c"] * classes, palette=[(0, 0, 0)] * classes)


@pytest.mark.timeout(20)
def test_digest_of_a_pipe_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "x.png")

    class Read:
        def __call__(self, index):
            return Sample(np.zeros((2, 3, 3), np.uint8), None, "x")

        def files(self, index):
            return [tmp_path / "x.png"]

    toy = dataset(read=Read())
    with pytest.raises(ValueError, match=r"x\.png: cannot be read \(not a regular file but a pipe\)"):
        toy.digest(0, toy[0])
