import numpy as np
import pytest
import torch

import segattn
from segattn.demo.explorer import Explorer, Points, default_points, read_points
from segattn.demo.pictures import Picture
from segattn.heads.ccnet import Head
from segattn.records.image_range import image_range, moments

PICTURE = Picture("street", segattn.datasets.load("streets", "val", height=48, width=80)[2].image)
ALL = ["ccnet", "danet", "denoised_nl", "emanet", "fcn", "flanet"]


def test_what_is_seen_is_what_attention_maps_says(explorer):
    seen = explorer.see(PICTURE, Points((60, 30), (7, 5)), ["danet", "ccnet"])
    assert [each.network.name for each in seen] == ["ccnet", "danet"]  # in the page's order
    for each in seen:
        for at, pixel in zip(each.at, [(60, 30), (7, 5)], strict=True):
            alone = segattn.attention_maps(each.network.model, PICTURE.image, pixel)
            assert (at.class_name, at.confidence, at.main) == (alone.class_name, alone.confidence, alone.main)
            for name, expected in alone.maps.items():
                np.testing.assert_array_equal(at.maps[name].values, expected.values)


def test_a_network_without_maps_still_answers(explorer):
    (fcn,) = explorer.see(PICTURE, Points((60, 30)), ["fcn"])
    assert fcn.at[0].maps == {}
    assert 1 / 19 <= fcn.at[0].confidence <= 1
    assert fcn.at[0].class_name in fcn.network.class_names


def test_networks_run_once_a_picture_however_often_is_clicked(explorer, monkeypatch):
    passes = []
    for network in explorer.networks.values():
        forward = network.model.backbone.forward
        monkeypatch.setattr(
            network.model.backbone, "forward", lambda x, f=forward, n=network.name: passes.append(n) or f(x)
        )
    assert list(explorer.prepare(PICTURE, ALL)) == ALL
    for at in [(0, 0), (79, 47), (60, 30)]:
        assert list(explorer.prepare(PICTURE, ALL)) == []
        explorer.see(PICTURE, Points(at), ALL)
    assert sorted(passes) == ALL
    explorer.see(Picture("another", PICTURE.image[::-1].copy()), Points((0, 0)), ["fcn"])
    assert sorted(passes) == sorted([*ALL, "fcn"])


def test_a_picture_unlike_the_training_images_is_said_to_be_so(explorer, monkeypatch):
    assert explorer.unusual(PICTURE, ALL) == ""  # networks that do not say what they were trained on
    trained = image_range(
        [moments(sample.image) for sample in segattn.datasets.load("streets", "val", height=48, width=80)]
    )
    monkeypatch.setattr(explorer.networks["emanet"].model, "image_range", trained)
    dark = Picture("night.png", PICTURE.image // 16)
    assert explorer.unusual(dark, ALL).startswith("emanet: the image lies outside the range of the training images")
    assert "night.png" in explorer.unusual(dark, ALL)
    assert explorer.unusual(dark, ["fcn"]) == ""
    assert explorer.unusual(PICTURE, ALL) == ""


def test_memory_is_bounded(loaded):
    one = Explorer(loaded)
    one.see(PICTURE, Points((0, 0)), ["fcn"])
    explorer = Explorer(loaded, cache_bytes=2 * one.looks.num_bytes)
    for turn in range(4):
        explorer.see(Picture("", np.roll(PICTURE.image, turn, axis=1)), Points((0, 0)), ["fcn"])
    assert len(list(explorer.looks)) == 2
    assert explorer.looks.num_bytes == explorer.looks.limit


def test_cost_is_that_of_the_picture(explorer):
    from segattn.cost import network_cost

    (ccnet,) = explorer.see(PICTURE, Points((0, 0)), ["ccnet"])
    expected = network_cost(
        "ccnet", input_size=(48, 80), backbone="resnet18", head_options={"channels": 8}, backbone_options={"width": 8}
    )
    assert ccnet.cost == expected


@pytest.mark.parametrize("at", [(80, 0), (0, 48), (-1, 0), (0, -1)])
def test_a_click_outside_of_the_picture_is_refused(explorer, at):
    message = rf"Pixel \({at[0]}, {at[1]}\) is outside the picture of 80 x 48 pixels"
    with pytest.raises(ValueError, match=message):
        read_points({"first": list(at), "second": None}, PICTURE)
    with pytest.raises(ValueError, match=message):
        explorer.see(PICTURE, Points((0, 0), at), ["fcn"])


@pytest.mark.parametrize(
    "sent",
    [None, 3, [], {}, {"second": [1, 2]}, {"first": "1,2"}, {"first": [1]}, {"first": [1.5, 2]}, {"first": [True, 2]},
     {"first": ["1", "2"]}, {"first": [1, 2], "second": {}}, {"first": [None, 1]}],
)  # fmt: skip
def test_what_is_no_pixel_is_refused(sent):
    with pytest.raises(ValueError, match=r"Click a pixel|A pixel is two whole numbers"):
        read_points(sent, PICTURE)


def test_points_are_read_as_they_are_sent():
    assert read_points({"first": [79, 0], "second": None}, PICTURE) == Points((79, 0))
    assert list(read_points({"first": [79, 0], "second": [0, 47]}, PICTURE)) == [(79, 0), (0, 47)]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 32), (32, 512), (512, 32), (33, 57)])
def test_first_point_lies_in_pictures_of_any_shape_and_all_networks_take_them(explorer, size):
    picture = Picture("", np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    for each in explorer.see(picture, default_points(picture), ALL):
        assert each.at[0].prediction.shape == size


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "No network is selected"), (["ccnet", "nonsense"], "no network nonsense; there are ccnet")],
)
def test_choice_of_networks_is_checked(explorer, names, message):
    with pytest.raises(ValueError, match=message):
        explorer.see(PICTURE, Points((0, 0)), names)
    with pytest.raises(ValueError, match=message):
        list(explorer.prepare(PICTURE, names))


def test_maps_of_a_click_come_from_features_that_are_kept(explorer, monkeypatch):
    list(explorer.prepare(PICTURE, ["ccnet"]))
    (kept,) = [explorer.looks.get(key, list) for key in explorer.looks]
    received = []
    monkeypatch.setattr(Head, "attention_maps", lambda self, features, pixel: received.append(features) or {})
    explorer.see(PICTURE, Points((0, 0)), ["ccnet"])
    assert all(a is b for a, b in zip(received[0], kept.features, strict=True))
    assert not any(feature.requires_grad for feature in kept.features)
    assert torch.is_grad_enabled()
