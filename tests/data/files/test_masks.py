import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segattn.data.files.class_lists import ClassList
from segattn.data.files.mask_options import mask_reading
from segattn.data.files.masks import resized_label

ROAD, SKY = (128, 64, 128), (70, 130, 180)
NAMES = ["road", "sky"]
INDICES = np.array([[0, 1, 255], [1, 0, 0]], np.uint8)


def of(values=None, *, colours=None, listed=None, ignored=(), **options):
    """A reading of masks of the two classes."""
    classes = ClassList(NAMES, [ROAD, SKY], colours or {}, listed or {}, ignored, Path("classes.json"))
    defaults = {"others": None, "ignore": None, "masks_as": "auto", "what": "mine"}
    return mask_reading(classes, **{"values": values, **defaults, **options})


def saved(folder, array, mode=None, palette=None):
    image = Image.fromarray(np.asarray(array))
    if palette:
        image.putpalette([channel for colour in palette for channel in colour])
    (image.convert(mode) if mode else image).save(folder / "m.png")
    return folder / "m.png"


def painted(label, colours):
    table = np.zeros((256, 3), np.uint8)
    for index, colour in colours.items():
        table[index] = colour
    return table[np.asarray(label)]


def test_indices_are_read_as_they_are(tmp_path):
    assert np.array_equal(of().label(saved(tmp_path, INDICES)), INDICES)


def test_colours_of_the_class_list_are_classes(tmp_path):
    path = saved(tmp_path, painted([[0, 1, 0]], {0: ROAD, 1: SKY}))
    assert of(colours={ROAD: 0, SKY: 1}).label(path).tolist() == [[0, 1, 0]]


def test_opaque_alpha_of_a_colour_mask_is_dropped_and_transparency_refused(tmp_path):
    picture = np.dstack([painted([[0, 1]], {0: ROAD, 1: SKY}), np.full((1, 2), 255, np.uint8)])
    reading = of(colours={ROAD: 0, SKY: 1})
    assert reading.label(saved(tmp_path, picture)).tolist() == [[0, 1]]
    picture[0, 1, 3] = 3
    with pytest.raises(ValueError, match=r"transparent pixels \(alpha 3, 1 pixel\)"):
        reading.label(saved(tmp_path, picture))


def test_unknown_colours_are_named_with_their_pixels(tmp_path):
    picture = painted([[0, 2, 2], [3, 2, 1]], {0: ROAD, 1: SKY, 2: (1, 2, 3), 3: (9, 9, 9)})
    with pytest.raises(ValueError, match="is that of no class") as caught:
        of(colours={ROAD: 0, SKY: 1}).label(saved(tmp_path, picture))
    assert "label colour (1, 2, 3) at row 0, column 1" in str(caught.value)
    assert "colours (1, 2, 3) (3 pixels), (9, 9, 9) (1 pixel)" in str(caught.value)
    assert "ignore=[[1, 2, 3]] or others=ignore" in str(caught.value)


def test_many_unknown_colours_are_traced_to_a_lossy_format(tmp_path):
    noise = np.random.default_rng(5).integers(0, 256, (11, 13, 3)).astype(np.uint8)
    with pytest.raises(ValueError, match=r"lossy format such as JPEG, or from resizing"):
        of(colours={ROAD: 0, SKY: 1}).label(saved(tmp_path, noise))


def test_grey_mask_saved_as_rgb_gives_its_indices(tmp_path):
    path = saved(tmp_path, INDICES, "RGB")
    assert np.array_equal(of().label(path), INDICES)
    assert np.array_equal(of(colours={ROAD: 0, SKY: 1}).label(path), INDICES)  # 0 and 1 are no class's colours


def test_grey_colours_that_are_classes_are_colours(tmp_path):
    reading = of(colours={(0, 0, 0): 1, (200, 200, 200): 0})
    assert reading.label(saved(tmp_path, np.array([[0, 200]], np.uint8), "RGB")).tolist() == [[1, 0]]


def test_rgb_mask_without_colours_in_the_list_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"mode RGB \(3 channels\) with 2 colours; give the colour of each class"):
        of().label(saved(tmp_path, painted([[0, 1]], {0: ROAD, 1: SKY})))


def test_16_bit_masks_hold_values_above_255(tmp_path):
    path = saved(tmp_path, np.array([[1000, 7000, 0]], np.uint16))
    reading = of({1000: "road", 7000: "sky"}, others="ignore")
    assert reading.label(path).tolist() == [[0, 1, 255]]
    with pytest.raises(ValueError, match="label value 0 at row 0, column 2"):
        of({1000: "road", 7000: "sky"}, others="error").label(path)


def test_values_beyond_16_bits_are_refused(tmp_path):
    Image.fromarray(np.array([[70000, 1]], np.int32)).save(tmp_path / "m.tif")
    with pytest.raises(ValueError, match="label value 70000"):
        of().label(tmp_path / "m.tif")


def test_ignored_others_are_counted_by_value(tmp_path):
    reading = of({7: "road", 8: "sky"}, others="ignore")
    path = saved(tmp_path, np.array([[7, 8, 3], [3, 3, 4]], np.uint8))
    assert reading.label(path).tolist() == [[0, 1, 255], [255, 255, 255]]
    reading.label(path)  # a second reading counts nothing twice
    ((kind, line),) = reading.lines()
    assert kind == "ignored values of no class"
    assert line.startswith("values 3 (3 pixels), 4 (1 pixel) of no class in 1 mask")


def test_values_of_the_class_list_leave_no_index(tmp_path):
    reading = of(listed={7: 0, 8: 1})
    assert reading.label(saved(tmp_path, np.array([[7, 8, 255]], np.uint8))).tolist() == [[0, 1, 255]]
    with pytest.raises(ValueError, match="label value 0 at row 0, column 0"):
        reading.label(saved(tmp_path, np.array([[0]], np.uint8)))


def test_0_and_255_are_two_classes_where_values_say_so(tmp_path):
    path = saved(tmp_path, np.array([[0, 255]], np.uint8))
    assert of({255: "sky"}).label(path).tolist() == [[0, 1]]
    assert of(listed={0: 0, 255: 1}).label(path).tolist() == [[0, 1]]


def test_ignored_values_and_colours(tmp_path):
    reading = of(colours={ROAD: 0, SKY: 1}, ignore=[1, [0, 0, 0]])
    assert reading.label(saved(tmp_path, np.array([[0, 1]], np.uint8))).tolist() == [[0, 255]]
    assert reading.label(saved(tmp_path, painted([[0, 9]], {0: ROAD}))).tolist() == [[0, 255]]


def test_palette_in_another_order_is_remarked_and_read_as_asked(tmp_path):
    path = saved(tmp_path, np.array([[0, 1]], np.uint8), palette=[SKY, ROAD])
    reading = of(colours={ROAD: 0, SKY: 1})
    assert reading.label(path).tolist() == [[0, 1]]
    assert "value 0 is read as class 0, and its colour (70, 130, 180) is that of class 1" in reading.lines()[0][1]
    assert of(colours={ROAD: 0, SKY: 1}, masks_as="colours").label(path).tolist() == [[1, 0]]
    quiet = of(colours={ROAD: 0, SKY: 1}, masks_as="values")
    assert quiet.label(path).tolist() == [[0, 1]]
    assert quiet.lines() == []


def test_palette_whose_values_are_no_classes_is_read_by_colour(tmp_path):
    path = saved(tmp_path, np.array([[5, 6]], np.uint8), palette=[(0, 0, 0)] * 5 + [SKY, ROAD])
    assert of(colours={ROAD: 0, SKY: 1}).label(path).tolist() == [[1, 0]]


def test_a_list_of_255_classes_is_read(tmp_path):
    classes = ClassList([f"c{index}" for index in range(255)], [(0, 0, 0)] * 255)
    reading = mask_reading(classes, values=None, others=None, ignore=None, masks_as="auto", what="mine")
    assert reading.label(saved(tmp_path, np.array([[254, 255]], np.uint8))).tolist() == [[254, 255]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"others": "skip"}, "others='skip' of data set mine; give index"),
        ({"masks_as": "rgb"}, "masks_as='rgb' of data set mine; give auto, values or colours"),
        ({"masks_as": "colours"}, "the class list gives no colours"),
        ({"ignore": "black"}, "'black' is neither a mask value"),
        ({"ignore": [[0, 0]]}, "[0, 0] is neither a mask value"),
        ({"ignore": 7, "listed": {7: 0, 8: 1}}, "7 stands for road in classes.json"),
        ({"values": {1: "road"}, "listed": {7: 0, 8: 1}}, "classes.json gives the values already"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        of(**options)


def test_resized_label_has_the_class_under_the_centre_of_each_pixel():
    assert (
        resized_label(np.array([[0, 1], [2, 3]]), (4, 6)).tolist()
        == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2
    )
    assert resized_label(np.arange(9).reshape(3, 3), (1, 1)).tolist() == [[4]]
