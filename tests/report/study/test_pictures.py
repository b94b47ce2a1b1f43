"""Which images are shown, in which order, and what their error pictures say."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from segattn import records, report
from segattn.report.study import pictures
from tests.report import fabricate


def with_counts(folder, right):
    """Give a fabricated run two labelled classes and the right pixels (of 100) of each image."""
    confusion = np.zeros((len(right), 19, 19), int)
    confusion[:, 0, 0], confusion[:, 0, 1] = right, 100 - np.array(right)
    np.savez(folder / "per_image.npz", confusion=confusion, names=[f"street_{i:03d}" for i in range(len(right))])


def test_images_on_which_networks_disagree_come_first(tmp_path):
    for head, right in (("fcn", [50, 60, 70]), ("ccnet", [52, 90, 71])):
        fabricate.run(head, 0, tmp_path / head, images=3)
        with_counts(tmp_path / head, right)
    study = report.load(tmp_path)
    spread = pictures.disagreements(study)
    assert spread["street_001"] == pytest.approx(np.std([0.6, 0.9], ddof=1))
    strips, count = pictures.strips(study)
    assert [strip.name for strip in strips] == ["street_001", "street_000", "street_002"]
    assert count == 3
    assert strips[0].disagreement == spread["street_001"]


def test_without_counts_the_order_is_that_of_the_names(tmp_path):
    for head in ("fcn", "ccnet"):
        fabricate.run(head, 0, tmp_path / head, images=3)
        (tmp_path / head / "per_image.npz").unlink()
    strips, _ = pictures.strips(report.load(tmp_path))
    assert [(strip.name, strip.disagreement) for strip in strips] == [(f"street_{i:03d}", None) for i in range(3)]


@pytest.mark.slow
def test_an_image_outside_the_examples_is_named(tmp_path):
    for head, right in (("fcn", [50, 60, 10]), ("ccnet", [52, 62, 90])):
        fabricate.run(head, 0, tmp_path / head, images=2)
        with_counts(tmp_path / head, right)
    page = report.build(tmp_path, tmp_path / "out")["report.html"].read_text(encoding="utf-8")
    assert "They disagree even more on street_002, for which no pictures were recorded" in page


def test_errors_are_painted_and_counted(tmp_path):
    record = fabricate.run("fcn", 0, tmp_path, images=1)
    road, sidewalk = record.palette[:2]
    label, prediction = np.full((4, 5, 3), road, np.uint8), np.full((4, 5, 3), road, np.uint8)
    label[0] = 0  # ignored
    prediction[0], prediction[3, :3] = sidewalk, sidewalk
    Image.fromarray(label).save(tmp_path / record.examples[0].label)
    Image.fromarray(prediction).save(tmp_path / record.examples[0].prediction)
    (strip,), _ = pictures.strips(report.load(tmp_path))
    tile = strip.tiles[-1]
    assert tile.wrong == 3 / 15
    with Image.open(io.BytesIO(base64.b64decode(tile.error.partition(",")[2]))) as picture:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    assert (alpha == 255).sum() == 3
    assert (alpha[3, :3] == 255).all()
    assert ((alpha[0] > 0) & (alpha[0] < 255)).all()
    assert (alpha[1:3] == 0).all()


def test_where_black_is_a_class_errors_are_not_guessed(tmp_path):
    record = fabricate.run("fcn", 0, tmp_path, images=1)
    records.write(dataclasses.replace(record, palette=[(0, 0, 0), *record.palette[1:]]), tmp_path / "record.json")
    (strip,), _ = pictures.strips(report.load(tmp_path))
    assert strip.tiles[-1].uri is not None
    assert strip.tiles[-1].error is None


def blocks(rng, palette, size, side):
    """Classes in blocks, ragged in places: harder to compress than a street."""
    shape = (size[1] // side + 1, size[0] // side + 1)
    return np.kron(palette[rng.integers(0, len(palette), shape)], np.ones((side, side, 1), np.uint8))[
        : size[1], : size[0]
    ]


@pytest.mark.parametrize("size", [(2048, 1024), (700, 700), (333, 1999)])
def test_ten_networks_with_hard_pictures_fit_into_six_megabytes(tmp_path, size):
    record, rng = fabricate.run("fcn", 0, tmp_path, images=1), np.random.default_rng(0)
    palette = np.array(record.palette, np.uint8)
    label = blocks(rng, palette, size, 40)
    wrong = rng.random(label.shape[:2]) < 0.01
    wrong = np.kron(wrong[::6, ::6], np.ones((6, 6), bool))[: size[1], : size[0]]
    prediction = np.where(wrong[..., None], blocks(rng, palette, size, 6), label).astype(np.uint8)
    noise = np.kron(rng.normal(0, 25, (size[1] // 4 + 1, size[0] // 4 + 1, 3)), np.ones((4, 4, 1)))[
        : size[1], : size[0]
    ]
    photograph = (label / 2 + 64 + noise).clip(0, 255).astype(np.uint8)
    example = record.examples[0]
    for path, values in ((example.image, photograph), (example.label, label), (example.prediction, prediction)):
        Image.fromarray(values).save(tmp_path / path)
    (strip,), _ = pictures.strips(report.load(tmp_path))
    image, coloured, predicted = strip.tiles
    for uri in (image.uri, coloured.uri, predicted.uri, predicted.error):
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
            assert max(picture.size) == 480
            assert picture.width / picture.height == pytest.approx(size[0] / size[1], rel=0.01)
    each = len(predicted.uri) + len(predicted.error)
    strips = pictures.EXAMPLES * (len(image.uri) + len(coloured.uri) + 10 * each)
    assert strips < 4_000_000  # the attention maps and everything else take less than 2 MB
