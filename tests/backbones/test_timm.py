import sys

import pytest
import torch

from segattn import backbones, create_model

pytest.importorskip("timm")


@pytest.mark.parametrize(("output_stride", "sizes"), [(8, [17, 9, 9, 9]), (16, [17, 9, 5, 5]), (32, [17, 9, 5, 3])])
def test_pyramid_gives_four_maps_at_the_stride_asked_for(output_stride, sizes):
    body = backbones.create("timm:resnet18", output_stride=output_stride).eval()
    with torch.no_grad():
        maps = body(torch.randn(1, 3, 65, 65))
    assert body.channels == (64, 128, 256, 512)
    assert [tuple(x.shape) for x in maps] == [(1, c, s, s) for c, s in zip(body.channels, sizes, strict=True)]


def test_network_without_dilation_works_at_its_own_stride():
    model = create_model(
        "ccnet", num_classes=3, backbone="timm:convnext_atto", output_stride=32, head_options={"channels": 8}
    ).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 65, 97)).shape == (1, 3, 65, 97)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("timm:resnet19", {}, "timm has no network 'resnet19'; similar names: .*resnet"),
        ("timm:resnet18", {"widht": 8}, "'timm:resnet18' has no option 'widht'"),
        ("timm:vgg11", {"output_stride": 8}, "timm:vgg11 cannot have output stride 8.*try output_stride=32"),
    ],
)
def test_mistake_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        backbones.create(name, **options)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"timm:resnet18 needs the extra: pip install 'segattn\[timm\]'"):
        backbones.create("timm:resnet18")
