"""Legends name the classes that occur and are never cut."""

import numpy as np
from PIL import Image

from segattn import data
from segattn.inference import legend

STREETS = data.load("streets", "val", height=32, width=64)
CLASSES, PALETTE = STREETS.class_names, STREETS.palette


def test_legend_stands_right_of_the_picture_and_shows_the_colours_that_occur():
    picture = np.full((40, 60, 3), 7, np.uint8)
    label = np.zeros((40, 60), np.uint8)
    label[:, 45:] = 2
    shown = np.asarray(
        legend.with_legend(picture, label, ["road", "sky", "tree"], [(250, 0, 0), (0, 250, 0), (0, 0, 250)])
    )
    assert np.array_equal(shown[:40, :60], picture)
    colours = {tuple(pixel) for pixel in shown[:, 60:].reshape(-1, 3).tolist()}
    assert (250, 0, 0) in colours
    assert (0, 0, 250) in colours
    assert (0, 250, 0) not in colours
    rows_of = {c: np.nonzero((shown[:, 60:] == c).all(axis=2).any(axis=1))[0].min() for c in ((250, 0, 0), (0, 0, 250))}
    assert rows_of[250, 0, 0] < rows_of[0, 0, 250]  # the larger area first


def test_legend_of_many_classes_is_not_cut_on_a_low_picture():
    label = np.arange(19, dtype=np.uint8).reshape(1, 19)
    shown = legend.with_legend(np.zeros((1, 19, 3), np.uint8), label, CLASSES, PALETTE)
    colours = {pixel for _, pixel in shown.getcolors(maxcolors=100_000)}
    assert set(PALETTE) <= colours


def test_share_below_a_tenth_of_a_per_cent_is_not_called_none(monkeypatch):
    label = np.zeros((100, 100), np.uint8)
    label[0, 0] = 1  # 0.01 %
    written = []
    monkeypatch.setattr(
        legend, "legend", lambda height, texts, colours: written.extend(texts) or Image.new("RGB", (1, 1))
    )
    legend.with_legend(np.zeros((100, 100, 3), np.uint8), label, ["road", "sky"], [(9, 9, 9), (8, 8, 8)])
    assert written == ["road 100.0 %", "sky < 0.1 %"]


def test_letters_grow_with_the_picture():
    small, large = (legend.legend(height, ["road"], [(250, 0, 0)]).width for height in (400, 4000))
    assert large > 3 * small
