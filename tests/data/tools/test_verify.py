import numpy as np
import pytest
from PIL import Image

from segattn import data


def make(root, count, bad=()):
    for part in ("images", "masks"):
        (root / "train" / part).mkdir(parents=True)
    (root / "classes.txt").write_text("a\nb\n")
    for index in range(count):
        mask = np.zeros((5, 7), np.uint8)
        if index in bad:
            mask[1, 3] = 9
        Image.new("RGB", (7, 5)).save(root / "train" / "images" / f"{index:02d}.png")
        Image.fromarray(mask).save(root / "train" / "masks" / f"{index:02d}.png")
    return data.load("folder", "train", root=root)


def test_good_files_are_all_read(tmp_path):
    assert data.verify(make(tmp_path, 13)) == 13


def test_the_first_bad_file_is_named_whatever_the_threads(tmp_path):
    dataset = make(tmp_path, 17, bad=(5, 11))
    for threads in (1, 7):
        with pytest.raises(ValueError, match=r"05\.png: label value 9 at row 1, column 3"):
            data.verify(dataset, threads=threads)


def test_a_large_split_is_checked_at_spaced_samples_from_first_to_last(tmp_path):
    dataset = make(tmp_path, 11, bad=(10,))
    with pytest.raises(ValueError, match=r"10\.png"):
        data.verify(dataset, limit=3)
    assert data.verify(data.load("streets", "train", height=32, width=64)) == 1


def test_a_limit_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="limit 0"):
        data.verify(make(tmp_path, 2), limit=0)
