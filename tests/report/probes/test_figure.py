import io

import numpy as np
from PIL import Image

from segattn.report.probes import figure
from tests.report.probes.fabricated import record


def test_figure_has_every_number_and_names_what_is_missing():
    drawn = figure.draw(record())
    assert drawn.name == "probes_reach"
    for words in ("fcn", "ccnet R=1", "95 ±64", "(3)", "straight, cells of 8 pixels", "runs are missing:"):
        assert words in drawn.svg
    assert "white is chance (50 %)" in drawn.caption


def test_chance_is_white_and_all_right_is_blue():
    pixels = np.asarray(Image.open(io.BytesIO(figure.draw(record()).png)).convert("RGB")).reshape(-1, 3)
    colours = {tuple(colour) for colour in np.unique(pixels, axis=0).tolist()}
    assert (255, 255, 254) in colours
    assert (11, 107, 176) in colours


def test_the_same_record_gives_the_same_picture():
    assert figure.draw(record()).png == figure.draw(record()).png
