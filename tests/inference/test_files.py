import dataclasses
import os

import numpy as np
import pytest
import torch
from PIL import Image

from segattn import data
from segattn.config import Evaluation
from segattn.data.files.decode import read_image
from segattn.data.transforms import to_tensor
from segattn.inference.files import (
    Labelled,
    Settings,
    find_images,
    label_image,
    label_images,
    output_names,
    overlay,
    predict_files,
)
from segattn.inference.legend import colour
from segattn.model import build_model
from tests import tiny

CLASSES = data.load("streets", "val", height=32, width=64).class_names
PALETTE = data.load("streets", "val", height=32, width=64).palette
SETTINGS = Settings(class_names=CLASSES, palette=PALETTE)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    built = build_model(tiny.experiment("ccnet").model, 19).train()
    for _ in range(3):
        built(torch.randn(2, 3, 33, 41))  # running statistics of something
    with torch.no_grad():
        built.head.sandwich.classify.conv.weight.mul_(100)
    return built.eval()


def photo(path, size, mode="RGB", seed=0):
    h, w = size
    picture = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    Image.fromarray(picture).convert(mode).save(path)
    return path


@pytest.mark.parametrize("size", [(37, 53), (64, 31), (1, 1), (8, 200)], ids=str)
@pytest.mark.parametrize(
    "inference",
    [Evaluation(), Evaluation(mode="slide", crop_size=(32, 32), stride=(21, 21), flip=True)],
    ids=["whole", "slide"],
)
def test_label_has_the_size_of_the_photo(model, size, inference, tmp_path):
    labelled = label_image(model, photo(tmp_path / "a.png", size), inference)
    assert labelled.label.shape == size
    assert labelled.label.dtype == np.uint8
    assert labelled.image.shape == (*size, 3)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.jpg", "RGB"),
        ("b.png", "L"),
        ("c.png", "P"),
        ("d.png", "RGBA"),
        ("e.bmp", "RGB"),
        ("f.webp", "RGB"),
        ("g.tif", "RGB"),
    ],
)
def test_any_kind_of_image_is_read_as_colour(model, name, mode, tmp_path):
    assert label_image(model, photo(tmp_path / name, (37, 53), mode)).image.shape == (37, 53, 3)


def test_written_files_hold_indices_and_picture(model, tmp_path):
    paths = [photo(tmp_path / "first.png", (37, 53)), photo(tmp_path / "second.jpg", (48, 32), seed=1)]
    overlays = list(predict_files(model, paths, tmp_path / "out", SETTINGS))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "first-label.png", "first-overlay.png", "second-label.png", "second-overlay.png",
    ]  # fmt: skip
    assert [path.name for path in overlays] == ["first-overlay.png", "second-overlay.png"]
    for path in paths:
        stored = Image.open(tmp_path / "out" / f"{path.stem}-label.png")
        expected = label_image(model, path).label
        assert stored.mode == "P"
        assert np.array_equal(np.asarray(stored), expected)
        assert np.array_equal(np.asarray(stored.convert("RGB")), colour(expected, PALETTE))
        with Image.open(tmp_path / "out" / f"{path.stem}-overlay.png") as picture:
            assert picture.width > expected.shape[1]  # the legend stands beside the photo
            assert picture.height >= expected.shape[0]


def test_model_labels_more_than_one_class_here(model, tmp_path):
    assert len(np.unique(label_image(model, photo(tmp_path / "a.png", (64, 96))).label)) > 1


def test_overlay_mixes_photo_and_colour():
    labelled = Labelled(np.full((1, 2, 3), 100, np.uint8), np.array([[0, 1]], np.uint8))
    mixed = overlay(labelled, ((200, 0, 100), (0, 0, 0)), opacity=0.25)
    assert mixed.tolist() == [[[125, 75, 100], [75, 75, 75]]]


def test_folders_are_searched_one_level_deep_in_order(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper/c.png").write_bytes(b"")
    assert find_images([tmp_path, tmp_path / "deeper/c.png"]) == [
        tmp_path / "a.JPG", tmp_path / "b.png", tmp_path / "deeper/c.png",
    ]  # fmt: skip


def test_missing_file_and_empty_folder_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png: no such file or folder"):
        find_images([tmp_path / "gone.png"])
    with pytest.raises(ValueError, match=r"has no images \(\.bmp, .*\.png"):
        find_images([tmp_path])


def test_a_pipe_is_no_photo(tmp_path):
    os.mkfifo(tmp_path / "photo.png")
    with pytest.raises(ValueError, match=r"photo\.png: neither a file nor a folder"):
        find_images([tmp_path / "photo.png"])


def test_unreadable_photo_is_named(model, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        label_image(model, tmp_path / "broken.jpg")


def test_outputs_never_overwrite_one_another(tmp_path):
    same_stem = [tmp_path / "a/x.png", tmp_path / "a/x.jpg", tmp_path / "b/x.png", tmp_path / "b/y.png"]
    names = output_names(same_stem)
    assert len(set(names)) == 4
    assert names[3] == "y"
    twice = [tmp_path / "a/x.png", tmp_path / "a/x.png"]
    assert len(set(output_names(twice))) == 2


def test_folder_that_cannot_be_made_is_named(model, tmp_path):
    (tmp_path / "file").write_text("")
    files = predict_files(model, [], tmp_path / "file", SETTINGS)
    with pytest.raises(ValueError, match="cannot create the folder"):
        next(files)


def test_confidence_is_the_probability_of_the_label(model, tmp_path):
    image = read_image(photo(tmp_path / "a.png", (37, 53)))
    labelled = label_images(model, [image], confidence=True)[0]
    with torch.no_grad():
        probabilities = model(to_tensor(image)[None]).softmax(1)[0]
    assert np.array_equal(labelled.label, probabilities.argmax(0))
    assert np.abs(labelled.confidence - 255 * probabilities.amax(0).numpy()).max() <= 0.5 + 1e-3
    flipped = label_images(model, [image], Evaluation(flip=True), confidence=True)[0]  # probabilities already
    assert np.array_equal(flipped.label, label_images(model, [image], Evaluation(flip=True))[0].label)
    assert flipped.confidence.min() >= 13  # at least 1/19 of 255


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches_of_photos_change_nothing(model, batch, tmp_path):
    """Three of one size, one of another, one again of the first."""
    sizes = [(37, 53), (37, 53), (37, 53), (48, 32), (37, 53)]
    paths = [photo(tmp_path / f"{number}.png", size, seed=number) for number, size in enumerate(sizes)]
    seen = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    overlays = list(predict_files(model, paths, tmp_path / "out", dataclasses.replace(SETTINGS, batch=batch)))
    assert seen == {1: [1, 1, 1, 1, 1], 2: [2, 1, 1, 1], 5: [3, 1, 1]}[batch]
    assert [path.name[0] for path in overlays] == ["0", "1", "2", "3", "4"]
    for path in paths:
        stored = np.asarray(Image.open(tmp_path / f"out/{path.stem}-label.png"))
        assert (stored == label_image(model, path).label).mean() > 0.999  # batches round otherwise


def test_bad_photo_is_reported_and_the_rest_goes_on(model, tmp_path):
    (tmp_path / "b.png").write_bytes(b"no photo")
    paths = [photo(tmp_path / "a.png", (37, 53)), tmp_path / "b.png", photo(tmp_path / "c.png", (37, 53))]
    errors = []
    overlays = predict_files(model, paths, tmp_path / "out", SETTINGS, on_error=lambda *error: errors.append(error))
    assert [path.name for path in overlays] == ["a-overlay.png", "c-overlay.png"]
    assert [path.name for path, _ in errors] == ["b.png"]
    assert "b.png: unreadable image" in str(errors[0][1])
    with pytest.raises(ValueError, match=r"b\.png"):
        list(predict_files(model, paths, tmp_path / "out", SETTINGS))


def test_batch_that_does_not_fit_is_labelled_one_by_one_and_the_photo_too_large_is_named(model, tmp_path):
    class Small(torch.nn.Module):
        """Fits one photo of up to 40 rows."""

        def __init__(self):
            super().__init__()
            self.model, self.align_corners = model, model.align_corners

        def forward(self, images):
            if len(images) > 1 or images.shape[2] > 40:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            return self.model(images)

    paths = [
        photo(tmp_path / f"{name}.png", size) for name, size in {"a": (37, 53), "b": (37, 53), "c": (64, 53)}.items()
    ]
    errors = []
    settings = dataclasses.replace(SETTINGS, batch=2)
    overlays = predict_files(
        Small().eval(), paths, tmp_path / "out", settings, on_error=lambda *e: errors.append(str(e[1]))
    )
    assert [path.name for path in overlays] == ["a-overlay.png", "b-overlay.png"]
    assert len(errors) == 1
    assert "c.png: 1 x 53x64 pixels do not fit into memory; use a sliding window (--mode slide" in errors[0]


def test_photo_is_turned_as_its_exif_says(model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned a quarter to the left
    Image.new("RGB", (53, 37)).save(tmp_path / "turned.jpg", exif=exif)
    assert label_image(model, tmp_path / "turned.jpg").label.shape == (53, 37)


def test_folder_of_results_does_not_feed_on_itself(tmp_path):
    for name in ("a.png", "a-label.png", "a-overlay.png", "a-confidence.png", "clip.mp4", "clip-overlay.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_images([tmp_path], tmp_path)] == ["a.png", "clip.mp4"]
    assert len(find_images([tmp_path], tmp_path / "elsewhere")) == 6
