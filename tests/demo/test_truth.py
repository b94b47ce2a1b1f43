"""Labels of pictures, and what a prediction has wrong."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from segattn.demo import cards, drawing
from segattn.demo.explorer import Explorer, Points
from segattn.demo.pictures import Picture, example
from segattn.demo.truth import truth_of

IMAGE = np.zeros((2, 3, 3), np.uint8)
LABEL = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)
PICTURE = Picture("a", IMAGE, LABEL, ("road", "car", "zebra"))


def test_label_is_matched_by_name_and_unknown_classes_are_ignored():
    truth = truth_of(PICTURE, ["car", "road", "sky"])
    assert truth.classes.tolist() == [[1, 0, 255], [255, 0, 1]]
    assert truth.at((0, 0)) == 1
    assert truth.at((2, 0)) is None


def test_only_labelled_pixels_can_be_wrong():
    truth = truth_of(PICTURE, ["car", "road", "sky"])
    prediction = np.array([[1, 2, 2], [2, 0, 0]])
    assert truth.wrong(prediction).tolist() == [[False, True, False], [False, False, True]]
    assert truth.share_right(prediction) == 0.5


@pytest.mark.parametrize("picture", [Picture("a", IMAGE), Picture("a", IMAGE, LABEL, ("x", "y", "z"))])
def test_without_a_label_in_these_classes_there_is_no_truth(picture):
    assert truth_of(picture, ["car", "road"]) is None


def test_examples_have_their_labels():
    picture = example(26, 128)
    assert picture.label.shape == picture.size
    assert "bus" in {picture.label_names[index] for index in np.unique(picture.label) if index != 255}


def test_cards_show_label_errors_and_time(loaded):
    picture = example(26, 128)
    explorer = Explorer(loaded)
    seen = explorer.see(picture, Points((40, 50)), list(explorer.networks))
    page = cards.results(seen, picture)
    truth = truth_of(picture, seen[0].network.class_names)
    for each in seen:
        assert each.seconds > 0
        assert f"{100 * truth.share_right(each.at[0].prediction):.1f}&nbsp;% right" in page
    wrong = [each for each in seen if each.at[0].class_index != truth.at((40, 50))]
    assert page.count('class="mistaken"') == len(wrong)
    assert page.count('class="veil"') == len(seen)
    assert 'aria-label="label"' in page


def test_cards_of_a_picture_without_a_label_say_nothing_of_errors(loaded):
    picture = Picture("a", example(26, 128).image)
    page = cards.results(Explorer(loaded).see(picture, Points((40, 50)), ["fcn"]), picture)
    assert not re.search(r"right</span>|mistaken|veil|what is wrong", page)


def test_time_is_that_of_the_pass_and_not_of_the_cache(loaded):
    explorer, picture = Explorer(loaded), example(26, 128)
    first = explorer.see(picture, Points((1, 1)), ["fcn"])[0].seconds
    assert explorer.see(picture, Points((2, 2)), ["fcn"])[0].seconds == first


def test_veil_is_transparent_where_something_is_wrong():
    uri = drawing.errors_uri(np.array([[True, False]]))
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as veil:
        assert np.asarray(veil.convert("RGBA"))[0].tolist() == [[255, 255, 255, 0], [255, 255, 255, 222]]
