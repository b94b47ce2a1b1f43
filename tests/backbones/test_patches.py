import pytest
import torch

from segattn import backbones
from segattn.backbones import listing


@pytest.mark.parametrize(("output_stride", "strides"), [(8, (4, 8, 8, 8)), (16, (4, 8, 16, 16)), (32, (4, 8, 16, 32))])
def test_maps_have_the_strides_of_a_resnet_at_any_size(output_stride, strides):
    body = backbones.create("patches", output_stride=output_stride, width=2).eval()
    assert body.channels == (2, 4, 8, 16)
    assert body.strides == strides
    maps = body(torch.zeros(1, 3, 67, 131))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (channels, -(-67 // stride), -(-131 // stride)) for channels, stride in zip(body.channels, strides, strict=True)
    ]


def test_one_position_sees_its_patch_and_nothing_else():
    body = backbones.create("patches", width=8).double().eval()
    assert body.receptive_field == 8
    image = torch.rand(1, 3, 40, 48, dtype=torch.float64, requires_grad=True)
    body(image)[-1][0, :, 2, 3].sum().backward()
    rows, columns = (image.grad.abs().sum((0, 1, axis)).nonzero().flatten().tolist() for axis in (3, 2))
    assert rows == list(range(16, 24))
    assert columns == list(range(24, 32))


def test_bands_and_options():
    assert backbones.create("patches", in_channels=5, width=2).eval()(torch.zeros(2, 5, 16, 16))[0].shape == (
        2,
        2,
        4,
        4,
    )
    with pytest.raises(ValueError, match=r"backbone 'patches' has no option 'stem'; .*width"):
        backbones.create("patches", stem="deep")
    with pytest.raises(ValueError, match=r"output_stride=4 is not possible; use one of 8, 16, 32"):
        backbones.create("patches", output_stride=4)
    with pytest.raises(ValueError, match=r"width=0 should be at least 1"):
        backbones.create("patches", width=0)


def test_it_is_listed_with_the_built_in_ones():
    assert "patches" in listing.examples()["built in"]
    assert listing.describe("patches").strides == (4, 8, 8, 8)
