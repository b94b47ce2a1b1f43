"""`segattn.predict`: one image in one call."""

import numpy as np
import pytest
import torch
from PIL import Image

import segattn
from segattn import checkpoint
from segattn.config import Evaluation
from segattn.data.transforms import to_tensor
from segattn.inference.files import label_images
from segattn.inference.windows import predict as scores_of
from segattn.model import build_model
from tests import tiny
from tests.inference.test_optimized import trained_looking

H, W = 37, 53
PIXELS = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    return trained_looking("ccnet")


def probabilities_of(scores):
    return scores.softmax(1)[0].numpy()


def test_labels_are_those_of_label_images_and_vary(model):
    result = segattn.predict(model, PIXELS)
    assert np.array_equal(result.labels, label_images(model, [PIXELS])[0].label)
    assert len(np.unique(result.labels)) > 1
    assert np.array_equal(result.image, PIXELS)


@pytest.mark.parametrize(
    "options", [{}, {"flip": True, "scales": (0.5, 1.0)}, {"mode": "slide", "crop_size": (32, 24)}]
)
def test_probabilities_are_the_softmax_of_the_scores_and_agree_with_the_labels(model, options):
    result = segattn.predict(model, PIXELS, **options)
    probabilities, inference = result.probabilities(), Evaluation(**options)
    scores = scores_of(model, to_tensor(PIXELS)[None], inference=inference)
    expected = scores[0].numpy() if inference.num_passes > 1 else probabilities_of(scores)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    assert (probabilities.argmax(0) == result.labels).mean() > 0.999


def test_options_reach_the_prediction(model):
    flipped = segattn.predict(model, PIXELS, flip=True, mode="slide", crop_size=[24, 32], stride=[16, 16])
    inference = Evaluation(mode="slide", crop_size=(24, 32), stride=(16, 16), flip=True)
    assert np.array_equal(flipped.labels, label_images(model, [PIXELS], inference)[0].label)
    assert not np.array_equal(flipped.labels, segattn.predict(model, PIXELS).labels)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(PIXELS),
        torch.from_numpy(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        PIXELS[:, ::-1][:, ::-1],
    ],
    ids=["picture", "tensor", "channels first", "strided"],
)
def test_every_kind_of_image_gives_the_same(model, image):
    assert np.array_equal(segattn.predict(model, image).labels, segattn.predict(model, PIXELS).labels)


def of_bands(bands):
    return trained_looking("fcn", in_channels=bands)


FOUR = np.random.default_rng(1).integers(0, 256, (H, W, 4), dtype=np.uint8)


@pytest.mark.parametrize(
    "image",
    [torch.from_numpy(FOUR), torch.from_numpy(FOUR).permute(2, 0, 1), Image.fromarray(FOUR)],
    ids=["tensor", "channels first", "picture"],
)
def test_a_network_of_other_bands_takes_their_array(image):
    network = of_bands(4)
    result = segattn.predict(network, FOUR)
    assert np.array_equal(result.image, FOUR)
    assert len(np.unique(result.labels)) > 1
    assert np.array_equal(result.labels, label_images(network, [FOUR])[0].label)
    assert np.array_equal(result.labels, segattn.predict(network, image).labels)
    assert result._repr_png_().startswith(b"\x89PNG")
    assert result.probabilities().shape == (5, H, W)


@pytest.mark.parametrize("image", [FOUR[..., 0], FOUR[..., :1], Image.fromarray(FOUR[..., 0])])
def test_a_network_of_one_band_takes_grey_values(image):
    network = of_bands(1)
    assert np.array_equal(segattn.predict(network, image).labels, label_images(network, [FOUR[..., :1]])[0].label)


@pytest.mark.parametrize(
    ("bands", "image", "message"),
    [
        (
            4,
            PIXELS,
            r"shape \(37, 53, 3\) and type uint8 is not taken; give the network's 4 bands, values .*\(H, W, 4\)",
        ),
        (1, PIXELS, r"give the network's 1 band, values from 0 to 255 as uint8 \(H, W, 1\)"),
        (4, FOUR[..., 0], r"shape \(37, 53\) and type uint8"),
        (4, FOUR.astype(np.uint16), r"shape \(37, 53, 4\) and type uint16 is not taken"),
        (4, Image.fromarray(PIXELS), r"mode RGB is not taken by a network of 4 bands; .* or an array \(H, W, 4\)"),
        (3, FOUR, "give RGB values"),
    ],
)
def test_an_image_of_other_bands_is_refused_with_advice(bands, image, message):
    with pytest.raises(ValueError, match=message):
        segattn.predict(of_bands(bands), image)


def test_a_file_is_read_upright_as_the_picture_is(model, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    path = tmp_path / "a photo.png"
    Image.fromarray(PIXELS).save(path, exif=exif)
    for image in (path, str(path), Image.open(path)):
        assert segattn.predict(model, image).labels.shape == (W, H)


def test_picture_holds_the_labels_and_the_palette(model):
    result = segattn.predict(model, PIXELS)
    assert result.picture.mode == "P"
    assert np.array_equal(np.asarray(result.picture), result.labels)
    colours = np.asarray(result.picture.convert("RGB"))
    assert np.array_equal(colours, np.array(result.palette, np.uint8)[result.labels])
    assert result.class_names == tuple(f"class {index}" for index in range(5))


def test_a_run_is_loaded_by_its_folder(tmp_path):
    experiment = tiny.experiment("fcn")
    trained = build_model(experiment.model, 2).eval()
    names, palette = ["road", "sky"], [(1, 2, 3), (4, 5, 6)]
    checkpoint.save_model(trained, tmp_path, experiment=experiment, class_names=names, palette=palette)
    result = segattn.predict(tmp_path, PIXELS, device="cpu")
    assert result.class_names == ("road", "sky")
    assert result.palette == ((1, 2, 3), (4, 5, 6))
    assert np.array_equal(result.labels, segattn.predict(trained, PIXELS).labels)


def test_an_optimized_network_has_the_names_of_its_own(model):
    result = segattn.predict(segattn.optimize(model), PIXELS)
    assert (result.labels == segattn.predict(model, PIXELS).labels).mean() > 0.99
    assert len(result.class_names) == 5


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            PIXELS.astype(np.float32),
            r"shape \(37, 53, 3\) and type float32 is not taken; give RGB values from 0 to 255 as uint8",
        ),
        (PIXELS[..., 0], r"shape \(37, 53\) and type uint8 is not taken"),
        (PIXELS[None], r"shape \(1, 37, 53, 3\)"),
        (PIXELS[:0], r"shape \(0, 53, 3\)"),
        (torch.zeros(3, 8, 9), r"shape \(8, 9, 3\) and type float32"),
        ([PIXELS], "type list is not taken; give a path, a PIL image, an array or a tensor"),
        (Image.fromarray(PIXELS).convert("RGBA"), "a PIL image of mode RGBA is not taken; give the path of its file"),
        (Image.new("I;16", (4, 4)), "a PIL image of mode I;16 is not taken"),
        ("no such.png", "no such.png"),
    ],
)
def test_another_image_is_refused_with_advice(model, image, message):
    with pytest.raises(ValueError, match=message):
        segattn.predict(model, image)


def test_another_model_or_setting_is_refused_with_advice(model):
    with pytest.raises(ValueError, match="NoneType is no network of segattn; give one of load_model"):
        segattn.predict(None, PIXELS)
    with pytest.raises(ValueError, match="no/such/run: no model here"):
        segattn.predict("no/such/run", PIXELS)
    with pytest.raises(
        ValueError, match=r"device='cpu' is for a network that is loaded by name; move yours with model.to"
    ):
        segattn.predict(model, PIXELS, device="cpu")
    with pytest.raises(ValueError, match="crop_size"):
        segattn.predict(model, PIXELS, mode="slide")
    with pytest.raises(ValueError, match=r"evaluation\.mode is 'window'"):
        segattn.predict(model, PIXELS, mode="window")
    with pytest.raises(ValueError, match="training mode"):
        segattn.predict(trained_looking("fcn").train(), PIXELS)


def test_a_picture_of_more_classes_than_colours_is_refused():
    torch.manual_seed(0)
    many = segattn.create_model("fcn", num_classes=300, backbone="resnet18", backbone_options={"width": 8}).eval()
    result = segattn.predict(many, PIXELS)
    assert result.labels.max() > 255
    with pytest.raises(ValueError, match="at most 256 colours, for 300 classes; use labels"):
        _ = result.picture
