import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.files.palette import flat_voc_palette


def write(base, name, value, folder="SegmentationClass"):
    (base / "JPEGImages").mkdir(parents=True, exist_ok=True)
    (base / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2)).save(base / "JPEGImages" / f"{name}.jpg")
    mask = Image.fromarray(np.full((2, 3), value, np.uint8))
    mask.putpalette(flat_voc_palette())
    mask.save(base / folder / f"{name}.png")


def listed(base, split, *names):
    path = base / "ImageSets/Segmentation" / f"{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


@pytest.fixture
def base(tmp_path):
    base = tmp_path / "VOCdevkit/VOC2012"
    write(base, "2007_000032", 1)
    write(base, "2007_000033", 255)
    listed(base, "train", "2007_000032")
    listed(base, "val", "2007_000033")
    return base


@pytest.mark.parametrize("up", [0, 1, 2])
def test_the_root_may_be_the_folder_or_one_of_those_above(base, up):
    root = [base, *base.parents][up]
    assert data.load("voc", "train", root=root)[0].label.tolist() == [[1] * 3] * 2


def test_the_border_is_ignored_and_background_counts(base):
    dataset = data.load("voc", "val", root=base)
    assert dataset[0].label.tolist() == [[255] * 3] * 2
    assert dataset.class_names[0] == "background"
    assert dataset.num_classes == 21


def test_training_takes_the_augmented_list_where_it_lies(base):
    write(base, "2008_000001", 7, "SegmentationClassAug")
    write(base, "2007_000032", 9, "SegmentationClassAug")
    listed(base, "trainaug", "2008_000001", "2007_000032")
    dataset = data.load("voc", "train", root=base)
    assert [sample.name for sample in dataset] == ["2007_000032", "2008_000001"]
    assert [int(sample.label[0, 0]) for sample in dataset] == [1, 7]  # the first one's own mask, not the added one
    assert "trainaug.txt, 2 images" in dataset.notice
    assert len(data.load("voc", "train", root=base, augmented=False)) == 1
    assert len(data.load("voc", "val", root=base)) == 1


def test_asking_for_an_augmented_list_that_is_not_there_is_an_error(base):
    with pytest.raises(ValueError, match=r"augmented=True needs .*SegmentationClassAug"):
        data.load("voc", "train", root=base, augmented=True)


def test_a_name_of_the_list_without_files_is_named(base):
    listed(base, "train", "2007_000032", "2007_999999")
    with pytest.raises(ValueError, match="no image named 2007_999999"):
        data.load("voc", "train", root=base)


def test_a_list_that_is_missing_or_empty_is_named(base):
    with pytest.raises(ValueError, match=r"test\.txt: no such list"):
        data.load("voc", "test", root=base)
    listed(base, "test")
    with pytest.raises(ValueError, match=r"test\.txt: names no image"):
        data.load("voc", "test", root=base)


def test_test_needs_no_masks(base):
    listed(base, "test", "2007_000033")
    assert data.load("voc", "test", root=base)[0].label is None
