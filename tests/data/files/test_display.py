"""What a notebook shows: small pictures and escaped texts."""

import io

import numpy as np
import pytest
from PIL import Image

from segattn.data._dataset import Dataset, Sample
from segattn.data.files.display import WIDEST, png


def opened(content):
    return np.array(Image.open(io.BytesIO(content), formats=["PNG"]))


def test_image_and_coloured_label_stand_side_by_side():
    image = np.full((5, 7, 3), 90, np.uint8)
    label = np.zeros((5, 7), np.uint8)
    label[0, 0], label[4, 6] = 1, 255
    sheet = opened(png(image, label, [(1, 2, 3), (4, 5, 6)]))
    assert sheet.shape == (5, 7 + 8 + 7, 3)
    assert (sheet[:, :7] == 90).all()
    assert [sheet[0, 15].tolist(), sheet[1, 15].tolist(), sheet[4, 21].tolist()] == [[4, 5, 6], [1, 2, 3], [255] * 3]


@pytest.mark.parametrize(("size", "expected"), [((960, 1920), (240, 480)), ((3, 9999), (1, 480)), ((1, 1), (1, 1))])
def test_large_pictures_are_shown_smaller(size, expected):
    sheet = opened(png(np.zeros((*size, 3), np.uint8), None))
    assert sheet.shape[:2] == expected
    assert max(expected) <= WIDEST


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_other_bands_than_rgb_are_shown(bands):
    sample = Sample(
        np.arange(35 * bands, dtype=np.uint8).reshape(5, 7, bands), np.full((5, 7), 3, np.uint8), "a<b>.png"
    )
    assert opened(sample._repr_png_()).shape == (5, 22, 3)
    assert repr(sample) == "<a<b>.png: 5x7, 1 classes>"


def test_labels_of_many_classes_have_colours():
    label = np.array([[0, 299]])
    sheet = opened(png(np.zeros((1, 2, 3), np.uint8), label, [(7, 7, 7)] * 300))
    assert (sheet[0, 10:] == 7).all()


def test_classes_of_a_data_set_are_escaped():
    dataset = Dataset(
        name="own",
        split="val",
        class_names=["<script>"],
        palette=[(0, 0, 0)],
        image_names=["a"],
        read=lambda index: None,
        from_files=False,
    )
    assert "<script>" not in dataset._repr_html_()
    assert "&lt;script&gt;" in dataset._repr_html_()
