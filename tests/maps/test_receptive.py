"""Effective receptive fields of networks whose fields are known: exactly the pixels that can count do, and as much as they do."""

import numpy as np
import pytest
import torch
from torch import nn

import segattn
from segattn.maps.receptive import Spread, receptive_field
from segattn.model import SegmentationModel
from tests.maps.test_look import network, street

SEES = 55
"""Pixels that a position of ResNet-18's last map sees with the option `receptive_field`."""


class Pixels(nn.Module):
    """A backbone whose map is the image itself."""

    channels = (3, 3, 3, 3)

    def forward(self, x):
        return [x, x, x, x]


class Weighted(nn.Module):
    """Logit 0 is a sum over the surroundings with known weights, logit 1 a constant below it."""

    loss_weights = {"out": 1.0}  # noqa: RUF012

    def __init__(self, weights, *, reads_last=True):
        super().__init__()
        k, m = weights.shape
        self.convolution = nn.Conv2d(3, 2, (k, m), padding=(k // 2, m // 2))
        self.reads_last = reads_last
        with torch.no_grad():
            self.convolution.weight.zero_()
            self.convolution.weight[0] = weights
            self.convolution.bias.copy_(torch.tensor([100.0, 0.0]))

    def forward(self, features):
        return {"out": self.convolution(features[-1] if self.reads_last else features[0])}


def weighted(weights, **options):
    head = Weighted(torch.as_tensor(weights, dtype=torch.float32), **options)
    return SegmentationModel(Pixels(), head, None, num_classes=2, align_corners=False, auxiliary_weight=0.0).eval()


def local(head="fcn", *, align_corners=False, mode="faithful", **options):
    torch.manual_seed(0)
    return segattn.create_model(
        head,
        num_classes=5,
        backbone="resnet18",
        mode=mode,
        align_corners=align_corners,
        head_options={"channels": 16, **options},
        backbone_options={"width": 8, "receptive_field": SEES},
    ).eval()


class Pointwise(nn.Module):
    """A head of 1x1 convolutions."""

    def __init__(self, channels):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 16, 1), nn.GELU(), nn.Conv2d(16, 5, 1))

    def forward(self, features):
        return {"out": self.layers(features[-1])}


def test_shares_are_those_of_the_weights():
    kernel = np.zeros((5, 3), np.float32)
    kernel[2, 1], kernel[2, 2], kernel[4, 1] = 4, -1, 3  # itself, right, two below
    field = receptive_field(weighted(kernel), [np.full((11, 7, 3), 200, np.uint8)])
    m, n = (side // 2 for side in field.image.shares.shape)
    expected = np.zeros_like(field.image.shares)
    expected[m, n], expected[m, n + 1], expected[m + 2, n] = 4 / 8, 1 / 8, 3 / 8  # absolute values, sum 1
    np.testing.assert_allclose(field.image.shares, expected, atol=1e-6)
    np.testing.assert_allclose(field.image.within[:3], [4 / 8, 5 / 8, 1], atol=1e-6)
    assert [field.image.beyond(distance) for distance in (0, 1, 1.9, 2, 500)] == pytest.approx(
        [0.5, 0.375, 0.375, 0, 0]
    )
    assert (field.image.radius(0.5), field.image.radius(0.6), field.image.radius(0.9)) == (0, 1, 2)
    np.testing.assert_allclose(field.features.shares, field.image.shares, atol=1e-6)  # the map is the image


def test_the_predicted_class_counts():
    model = weighted(np.ones((3, 3)))
    with torch.no_grad():
        model.head.convolution.bias.copy_(torch.tensor([-100.0, 0.0]))  # now the constant logit wins
    with pytest.raises(ValueError, match="the logits do not depend on the image"):
        receptive_field(model, [np.full((9, 9, 3), 200, np.uint8)])


def test_images_count_alike_and_may_differ_in_size():
    """The second image cuts the kernel off on the right, so half of the mean is what is left of it."""
    kernel = np.zeros((1, 9), np.float32)
    kernel[0, 4], kernel[0, 8] = 1, 1
    small, large = (np.full((5, width, 3), 200, np.uint8) for width in (7, 21))  # from the middle, 3 or 10 to the right
    field = receptive_field(weighted(kernel), iter([small, large]))
    assert field.num_images == 2
    m, n = (side // 2 for side in field.image.shares.shape)
    assert field.image.shares[m, n] == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert field.image.shares[m, n + 4] == pytest.approx(0.25)
    assert field.image.shares.sum() == pytest.approx(1)


def test_a_head_of_1x1_convolutions_has_nothing_beyond_the_field_of_the_backbone():
    model = local()
    model.head = Pointwise(model.backbone.channels[-1])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # residual branches start at 0 otherwise
    field = receptive_field(model, [street(136, 168), street(120, 136)])
    used = np.argwhere(field.image.shares)
    assert (used.max(0) - used.min(0) + 1).tolist() == [SEES, SEES]  # that, and all of it
    furthest = SEES // 2 + 4  # a cell is 8 pixels; its field is centred on the first of them, not on its middle
    assert field.image.radius(1) <= furthest * 2**0.5 + 1
    assert field.image.beyond(furthest * 2**0.5 + 1) == 0
    assert field.features.within[0] == 1  # one position of the map


def test_attention_reaches_what_the_backbone_does_not_see():
    model = local("non_local")
    with torch.no_grad():
        model.head.attention.bn.weight.fill_(1.0)
    field = receptive_field(model, [street(200, 264)])
    sandwich = 2 * 8  # two 3x3 convolutions around the mechanism, on a map of stride 8
    assert receptive_field(local("fcn"), [street(200, 264)]).image.beyond((SEES // 2 + 4 + sandwich) * 2**0.5 + 1) == 0
    assert field.image.beyond((SEES // 2 + 4 + sandwich) * 2**0.5 + 1) > 1e-4


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(65, 97), (33, 31), (1, 1), (8, 71)])
def test_odd_sizes(size, align_corners):
    field = receptive_field(local("ccnet", align_corners=align_corners), [street(136, 168)[: size[0], : size[1]]])
    assert field.image.shares.sum() == pytest.approx(1, abs=1e-5)
    assert field.image.within[-1] == 1
    assert field.image.shares.dtype == np.float32
    assert np.all(np.diff(field.image.within) >= 0)
    assert all(side % 2 == 1 for side in field.image.shares.shape)


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("head", segattn.heads.names())
def test_every_head_has_a_field_on_the_image_and_on_the_map(head, mode):
    field = receptive_field(network(head, mode=mode), [street()])
    assert field.name == head
    assert field.image.radius(0.5) <= field.image.radius(0.9)
    assert field.features is not None
    assert field.features.shares.sum() == pytest.approx(1, abs=1e-5)


def test_a_head_that_reads_another_map_has_none_on_the_last_one():
    class Copies(Pixels):
        def forward(self, x):
            return [x, 1 * x, 1 * x, 1 * x]

    model = weighted(np.ones((3, 3)), reads_last=False)
    model.backbone = Copies()
    field = receptive_field(model, [np.full((9, 9, 3), 200, np.uint8)])
    assert field.features is None
    assert field.image.within[1] < 1


def test_pixel_chooses_the_position_and_the_middle_is_the_default():
    model, image = local("ccnet"), street(72, 104)
    middle, same = (receptive_field(model, [image], pixel=pixel) for pixel in (None, (52, 36)))
    assert np.array_equal(middle.image.shares, same.image.shares)
    corner = receptive_field(model, [image], pixel=(0, 0)).image.shares
    m, n = (side // 2 for side in corner.shape)
    assert corner[: m - 8].sum() == 0  # nothing above the cell at the top
    assert corner[:, : n - 8].sum() == 0


def test_networks_keep_no_gradient_and_nothing_of_size_n_x_n_is_made():
    model, image = network("non_local"), street(264, 392)
    positions = (264 // 8) * (392 // 8)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        receptive_field(model, [image])
    assert max(sizes) < positions**2
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_gradient_that_is_not_finite_is_refused():
    model = weighted(np.ones((1, 1)))
    with torch.no_grad():
        model.head.convolution.weight[0] = float("inf")
    with pytest.raises(ValueError, match="image 1: the gradient is not finite"):
        receptive_field(model, [np.full((5, 5, 3), 200, np.uint8)])


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "no image to take the gradient of"),
        ([np.zeros((8, 8), np.float32)], {}, "expected uint8"),
        ([np.zeros((8, 9, 3), np.uint8)], {"pixel": (9, 0)}, "outside the image of 9 x 8 pixels"),
        ([np.zeros((8, 9, 3), np.uint8)], {"max_side": 0}, "max_side=0 is no image"),
    ],
    ids=["none", "type", "pixel", "size"],
)
def test_bad_input_is_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        receptive_field(local("fcn"), images, **options)


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        receptive_field(local("fcn").train(), [street()])


def test_distances_and_shares_that_mean_nothing_are_refused():
    spread = Spread(np.ones((1, 1), np.float32), np.ones(1))
    for distance in (-1, float("nan")):
        with pytest.raises(ValueError, match="give 0 or more"):
            spread.beyond(distance)
    for share in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="above 0, at most 1"):
            spread.radius(share)
