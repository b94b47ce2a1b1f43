import json

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data import voc
from segattn.data.files.palette import flat_voc_palette
from segattn.data.tools.init import start

rng = np.random.default_rng(17)


def put(root, masks, mode=None, image=None, form="masks/{}.png", palette=None):
    """One image for each mask."""
    for index, mask in enumerate(masks):
        picture = Image.fromarray(np.asarray(mask))
        if palette:
            picture.putpalette(palette)
        for path, content in (
            (
                f"images/{index}.png",
                Image.fromarray(rng.integers(0, 256, (*(image or np.shape(mask)[:2]), 3)).astype(np.uint8)),
            ),
            (form.format(index), picture.convert(mode) if mode else picture),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            content.save(root / path)
    return root


def values(*marks, dtype=np.uint8):
    return [np.array([marks, marks[::-1]], dtype)] * 4


def names(started):
    return [entry["name"] for entry in started.entries]


def opened(started, root):
    """Every mask is read with the list that was written."""
    return [
        sample.label
        for split in ("train", "val")
        for sample in data.load("folder", split, root=root, **started.options)
    ]


def test_indices_need_no_values(tmp_path):
    started = start(put(tmp_path, values(0, 1, 2, 255)))
    assert names(started) == ["class_0", "class_1", "class_2"]
    assert not any("value" in entry for entry in started.entries)
    assert started.ignored == 8
    assert sorted(np.unique(opened(started, tmp_path))) == [0, 1, 2, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_values_are_written(tmp_path, dtype):
    marks = (7, 11, 200) if dtype == np.uint8 else (7, 1100, 20000)
    started = start(put(tmp_path, values(*marks, dtype=dtype)))
    assert [entry["value"] for entry in started.entries] == list(marks)
    assert sorted(np.unique(opened(started, tmp_path))) == [0, 1, 2]


def test_0_and_255_are_background_and_foreground(tmp_path):
    started = start(put(tmp_path, values(0, 255)))
    assert names(started) == ["background", "foreground"]
    assert sorted(np.unique(opened(started, tmp_path))) == [0, 1]


def test_colours_of_a_known_data_set_get_its_names(tmp_path):
    colours = np.array([[[128, 64, 128], [70, 130, 180], [0, 0, 0]]] * 2, np.uint8)
    started = start(put(tmp_path, [colours] * 4))
    assert names(started) == ["background", "road", "sky"]
    assert sorted(np.unique(opened(started, tmp_path))) == [0, 1, 2]


def test_unknown_colours_are_numbered(tmp_path):
    started = start(put(tmp_path, [np.array([[[1, 2, 3], [200, 9, 9]]] * 2, np.uint8)] * 4))
    assert names(started) == ["class_0", "class_1"]
    assert started.entries[0]["colour"] == [1, 2, 3]
    assert sorted(np.unique(opened(started, tmp_path))) == [0, 1]


def test_grey_masks_saved_as_rgb_hold_values(tmp_path):
    started = start(put(tmp_path, values(0, 1, 2), mode="RGB"))
    assert started.kinds == {"grey values saved as RGB": 4}
    assert sorted(np.unique(opened(started, tmp_path))) == [0, 1, 2]


def test_palette_of_voc_gets_its_names_and_colours(tmp_path):
    started = start(put(tmp_path, values(0, 15, 255), palette=flat_voc_palette()))
    assert names(started) == ["background", "person"]
    assert started.entries[1] == {"name": "person", "colour": [192, 128, 128], "value": 15}
    assert "person" in voc.CLASS_NAMES
    assert sorted(np.unique(opened(started, tmp_path))) == [0, 1, 255]


def test_ids_of_cityscapes_get_its_classes(tmp_path):
    started = start(put(tmp_path, values(0, 7, 11), form="masks/{}_labelIds.png"))
    assert len(started.entries) == 19
    assert started.entries[0] == {"name": "road", "colour": [128, 64, 128], "value": 7}
    assert sorted(np.unique(opened(started, tmp_path))) == [0, 2, 255]


def test_masks_of_another_size_need_the_option(tmp_path):
    started = start(put(tmp_path, [np.tile(np.array([0, 1], np.uint8), (4, 3))] * 4, image=(8, 12)))
    assert started.options == {"resize_masks": "nearest"}
    assert opened(started, tmp_path)[0].shape == (8, 12)


def test_masks_drawn_on_turned_photos_need_the_option(tmp_path):
    put(tmp_path, values(0, 1, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(4):
        Image.new("RGB", (3, 2)).save(tmp_path / f"images/{index}.png", exif=exif)
    started = start(tmp_path)
    assert started.options == {"exif": "ignore"}
    assert opened(started, tmp_path)[0].shape == (2, 3)


def test_a_class_list_that_is_there_is_left_as_it_is(tmp_path):
    put(tmp_path, values(0, 1))
    (tmp_path / "classes.json").write_text('["a", "b"]')
    assert not start(tmp_path).written
    assert json.loads((tmp_path / "classes.json").read_text()) == ["a", "b"]
    assert start(tmp_path, force=True).written
    assert json.loads((tmp_path / "classes.json").read_text())[1]["name"] == "class_1"


def test_force_does_not_write_behind_another_list(tmp_path):
    put(tmp_path, values(0, 1))
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"classes\.txt comes before classes\.json"):
        start(tmp_path, force=True)
    assert not (tmp_path / "classes.json").exists()


def test_photos_are_no_masks(tmp_path):
    with pytest.raises(ValueError, match=r"too many for classes; such masks come from a lossy format"):
        start(put(tmp_path, [rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)] * 2))


def test_masks_of_two_kinds_are_refused(tmp_path):
    colours = np.array([[[1, 2, 3], [200, 9, 9]]] * 2, np.uint8)
    with pytest.raises(ValueError, match="2 masks hold colours and 1 hold values in one channel"):
        start(put(tmp_path, [colours, colours, np.zeros((2, 2), np.uint8)]))


def test_a_mask_of_another_shape_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"\d\.png is 9x4 and its mask .*\d\.png 6x4: another shape"):
        start(put(tmp_path, [np.zeros((4, 6), np.uint8)] * 2, image=(4, 9)))
