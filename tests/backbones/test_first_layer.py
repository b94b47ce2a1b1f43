"""The first convolution of pretrained weights, for another number of bands."""

import pytest
import torch

from segattn import backbones
from segattn.backbones.first_layer import converted
from segattn.model import create_model

TINY = {"backbone": "resnet18", "backbone_options": {"width": 8}, "num_classes": 3}


@pytest.fixture
def file(tmp_path):
    """The weights of a backbone for red, green and blue."""
    torch.manual_seed(0)
    path = tmp_path / "rgb weights.pth"
    torch.save(backbones.create("resnet18", width=8).state_dict(), path)
    return path


@pytest.mark.parametrize(("how", "bands"), [("mean", 1), ("mean", 2), ("mean", 4), ("mean", 7), ("repeat", 6)])
def test_equal_bands_give_the_response_of_three_equal_bands(how, bands):
    torch.manual_seed(1)
    weight, plane = torch.randn(5, 3, 3, 3, dtype=torch.float64), torch.randn(1, 1, 11, 13, dtype=torch.float64)
    before = torch.conv2d(plane.expand(-1, 3, -1, -1), weight)
    after = torch.conv2d(plane.expand(-1, bands, -1, -1), converted(weight, bands, how))
    assert torch.allclose(after, before, rtol=1e-12, atol=1e-12)


def test_known_bands_keep_their_weights_up_to_the_factor():
    weight = torch.arange(6.0).reshape(2, 3, 1, 1)
    assert torch.equal(converted(weight, 4, "mean")[:, :3], weight * 0.75)
    assert converted(weight, 4, "mean")[:, 3].flatten().tolist() == [0.75, 3.0]  # means 1 and 4, times 3/4
    assert converted(weight, 5, "repeat")[0].flatten().tolist() == pytest.approx([0, 0.6, 1.2, 0, 0.6])
    assert converted(weight, 1, "mean").flatten().tolist() == [3.0, 12.0]  # the sums
    assert torch.equal(converted(weight, 3, "zero"), weight)


def test_zero_is_bit_equal_to_the_network_of_the_known_bands_whatever_the_new_ones_hold(file):
    three = create_model("fcn", pretrained=file, **TINY).eval()
    six = create_model("fcn", pretrained=file, in_channels=6, first_layer="zero", **TINY).eval()
    six.head.load_state_dict(three.head.state_dict())
    images = torch.randn(2, 6, 65, 97)
    assert torch.equal(six(images), three(images[:, :3]))
    assert "zero)" in six.started_from


@pytest.mark.parametrize("stem", ["deep", "plain"])
def test_started_from_says_how_the_first_layer_was_converted(tmp_path, stem):
    torch.save(backbones.create("resnet18", width=8, stem=stem).state_dict(), tmp_path / "rgb.pth")
    options = TINY | {"backbone_options": {"width": 8, "stem": stem}}
    model = create_model("fcn", pretrained=tmp_path / "rgb.pth", in_channels=4, **options)
    layer = {"deep": "stem.0", "plain": "conv1"}[stem]
    assert f"(first layer {layer}.weight: 3 bands to 4, mean, scaled by 0.75); head at random" in model.started_from
    same = create_model("fcn", pretrained=tmp_path / "rgb.pth", **options)
    assert same.started_from == f"backbone from {tmp_path / 'rgb.pth'}; head at random"


def test_zero_for_fewer_bands_is_refused(file):
    with pytest.raises(ValueError, match="take 3 bands and the network 1; give mean"):
        create_model("fcn", pretrained=file, in_channels=1, first_layer="zero", **TINY)


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="'average'; give one of mean, repeat, zero"):
        converted(torch.ones(1, 3, 1, 1), 4, "average")


def test_other_misfits_are_named_as_before(file):
    with pytest.raises(ValueError, match=r"does not fit: .*other shape"):
        create_model("fcn", pretrained=file, in_channels=4, num_classes=3, backbone="resnet18")


def test_images_have_at_least_one_band():
    with pytest.raises(ValueError, match="in_channels is 0; images have at least 1 band"):
        backbones.create("resnet18", in_channels=0)


def test_timm_takes_and_converts_other_bands(tmp_path):
    pytest.importorskip("timm")
    options = {"backbone": "timm:resnet18", "output_stride": 32, "num_classes": 3}
    body = backbones.create("timm:resnet18", output_stride=32)
    torch.save(body.state_dict(), tmp_path / "rgb.pth")
    model = create_model("fcn", pretrained=tmp_path / "rgb.pth", in_channels=4, first_layer="zero", **options).eval()
    assert "conv1.weight: 3 bands to 4, zero" in model.started_from
    images = torch.randn(1, 4, 64, 96)
    assert torch.equal(model.backbone(images)[0], body.eval()(images[:, :3])[0])
