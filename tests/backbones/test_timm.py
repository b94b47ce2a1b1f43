import copy
import math
import sys

import pytest
import torch

pytest.importorskip("timm")

from segattn import backbones, config, create_model
from segattn.backbones import families
from segattn.backbones.timm import module_of
from segattn.backbones.without_torchvision import import_timm
from segattn.benchmark import peak
from segattn.model import build_model
from segattn.profile import flops
from tests import tiny_timm

SIZES = [(65, 97), (130, 91), (224, 224), (31, 160)]
every_family = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long(*tiny_timm.SAMPLE)) for name in tiny_timm.EXAMPLES]
)


@pytest.fixture
def small(monkeypatch):
    tiny_timm.cut(monkeypatch)


def maps_of(body, size):
    return [
        (c, math.ceil(size[0] / s), math.ceil(size[1] / s)) for c, s in zip(body.channels, body.strides, strict=True)
    ]


@every_family
def test_family_gives_four_maps_at_any_size_and_trains_every_parameter(name, small):
    body = backbones.create(f"timm:{name}", output_stride=tiny_timm.output_stride(name)).train()
    loss = 0
    for size in SIZES[:2]:
        maps = body(torch.randn(2, 3, *size))
        assert [tuple(x.shape[1:]) for x in maps] == maps_of(body, size)
        loss = loss + sum(x.square().mean() for x in maps)
    loss.backward()
    assert [key for key, value in body.named_parameters() if value.grad is None] == []
    assert all(bool(value.grad.isfinite().all()) for value in body.parameters())


@every_family
def test_family_is_counted_and_copied_at_any_size(name, small):
    with torch.device("meta"):
        body = backbones.create(f"timm:{name}", output_stride=tiny_timm.output_stride(name))
        for size in SIZES[2:]:
            macs = flops.count(body.eval(), torch.empty(1, 3, *size)).total().macs
            assert macs > sum(x.numel() for x in copy.deepcopy(body)(torch.empty(1, 3, *size)))


@every_family
def test_memory_of_a_training_step_on_a_family_is_predicted(name, small):
    network = config.Model(head="fcn", backbone=f"timm:{name}", output_stride=tiny_timm.output_stride(name))
    case = peak.Case(
        model=network,
        optimization=config.Optimization(batch_size=2),
        crop_size=(65, 97),
        num_classes=3,
        device="cpu",
        training=True,
    )
    predicted = peak.simulate(case)
    parameters = sum(p.numel() for p in build_model(network, 3).parameters())
    assert predicted.total > 3 * 4 * parameters  # weights, gradients and momentum in float32


def test_sample_is_of_the_families():
    assert set(tiny_timm.SAMPLE) <= set(tiny_timm.EXAMPLES)


def test_whole_vit_costs_what_it_is_known_for():
    """DeiT-Ti: 1.26 GMACs at 224 (arXiv 2012.12877, table 5: 1.3), with the classifier and the class token's query."""
    with torch.device("meta"):
        body = backbones.create("timm:deit_tiny_patch16_224", output_stride=16, pyramid=False).eval()
        total = flops.count(body, torch.empty(1, 3, 224, 224)).total()
    tokens, width = 197, 192
    block = 12 * tokens * width**2 + 2 * tokens**2 * width  # qkv 3, projection 1, MLP 8; scores and their use
    assert total.macs == 196 * 768 * width + 12 * block


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3", "samvit_base_patch16"])
@pytest.mark.parametrize("img_size", [None, [64, 128]])
def test_map_without_pyramid_is_timms_last_after_its_norm(name, img_size, small):
    import timm

    torch.manual_seed(0)
    body = backbones.create(f"timm:{name}", output_stride=16, pyramid=False, img_size=img_size).eval()
    size = img_size or timm.get_pretrained_cfg(name).input_size[-2:]
    size = (256, 256) if name.startswith("sam") and img_size is None else size  # 1024 is slow
    reference = timm.create_model(
        name, img_size=tuple(img_size or timm.get_pretrained_cfg(name).input_size[-2:])
    ).eval()
    reference.load_state_dict(body.network.state_dict(), strict=False)
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        maps = body(images)
        expected = reference.forward_features(images)
        if expected.ndim == 3:
            tokens = expected[:, reference.num_prefix_tokens :]
            expected = tokens.mT.unflatten(2, (size[0] // 16, size[1] // 16))
    assert len({x.data_ptr() for x in maps}) == 1
    assert torch.allclose(maps[0], expected, atol=1e-5)


def test_swin_is_timms_with_channels_first(small):
    import timm

    torch.manual_seed(0)
    body = backbones.create("timm:swin_tiny_patch4_window7_224", output_stride=32).eval()
    reference = timm.create_model("swin_tiny_patch4_window7_224", features_only=True).eval()
    reference.load_state_dict(body.network.state_dict())
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        for mine, other in zip(body(images), reference(images), strict=True):
            assert torch.allclose(mine, other.permute(0, 3, 1, 2), atol=1e-5)


def test_images_are_padded_with_the_mean_colour_on_the_right_and_below(small):
    torch.manual_seed(0)
    body = backbones.create("timm:maxvit_nano_rw_256", output_stride=32).eval()
    assert body.multiple == (256, 256)
    images = torch.randn(1, 3, 65, 97)
    padded = torch.zeros(1, 3, 256, 256)
    padded[..., :65, :97] = images
    with torch.no_grad():
        for small_map, whole in zip(body(images), body(padded), strict=True):
            assert torch.equal(small_map, whole[..., : small_map.shape[-2], : small_map.shape[-1]])


def test_maxvit_for_an_oblong_image_has_oblong_windows(small):
    body = backbones.create("timm:maxvit_nano_rw_256", output_stride=32, img_size=(256, 128))
    assert body.multiple == (256, 128)
    assert [tuple(x.shape[1:]) for x in body.eval()(torch.zeros(1, 3, 65, 97))] == maps_of(body, (65, 97))


@pytest.mark.parametrize("head", ["ccnet", "denoised_nl", "flanet"])
@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "swin_tiny_patch4_window7_224"])
def test_head_trains_and_predicts_on_a_transformer(name, head, small):
    model = create_model(
        head,
        num_classes=3,
        backbone=f"timm:{name}",
        output_stride=tiny_timm.output_stride(name),
    )
    outputs = model(torch.randn(2, 3, 130, 91))
    sum(outputs.values()).square().mean().backward()
    assert {tuple(x.shape) for x in outputs.values()} == {(2, 3, 130, 91)}
    model.eval()
    with torch.no_grad():
        features = model.backbone(torch.randn(1, 3, 65, 97))
        assert model(torch.randn(1, 3, 65, 97)).shape == (1, 3, 65, 97)
        maps = model.head.attention_maps(features, (1, 2))
    assert maps
    assert all(bool(x.isfinite().all()) for x in maps.values())


def test_drop_path_skips_branches_in_training_only(small):
    torch.manual_seed(0)
    body = backbones.create("timm:vit_tiny_patch16_224", output_stride=16, pyramid=False, drop_path=0.5)
    images = torch.randn(8, 3, 32, 32)
    assert not torch.equal(body(images)[0], body(images)[0])
    body.eval()
    assert torch.equal(body(images)[0], body(images)[0])


@pytest.mark.parametrize("module", sorted(families.REFUSED))
def test_refused_network_is_told_with_one_that_builds(module):
    timm = import_timm()
    names = timm.list_models(module=module)
    if not names:
        pytest.skip(f"this timm has no module {module}")
    nearest = families.REFUSED[module].nearest
    with pytest.raises(
        ValueError, match=rf"timm:{names[0]} cannot be a backbone: .*; the nearest that can: timm:{nearest}"
    ):
        backbones.create(f"timm:{names[0]}")
    assert module_of(timm, nearest)


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
        ("timm:hrnet_w18_small", {}, "cannot have output stride 8 .it cannot be dilated.; try output_stride=32"),
        (
            "timm:swin_tiny_patch4_window7_224",
            {},
            "its maps have strides 4, 8, 16, 32.; try output_stride=32 .--model.output-stride 32",
        ),
        ("timm:coatnet_0_224", {"output_stride": 32}, "images of one size; the nearest that can: timm:maxvit"),
        ("timm:mit_b2", {}, "timm has no MiT of SegFormer; use timm:pvt_v2_b0"),
        ("timm:vit_tiny_patch16_224", {"output_stride": 4}, "output_stride=4 is not possible; use one of 8, 16, 32"),
        (
            "timm:vit_tiny_patch16_224",
            {"pyramid": False},
            "without pyramid has maps of stride 16, not 8; try output_stride=16",
        ),
        (
            "timm:resnet18",
            {"pyramid": False},
            "has no option 'pyramid'; Its options: output_stride, in_channels, pretrained, img_size, drop_path, stages",
        ),
        ("timm:resnet18", {"img_size": 224}, "timm:resnet18 has no option img_size; leave it out"),
        ("timm:vit_tiny_patch16_224", {"img_size": [0, 3]}, r"img_size=\[0, 3\] should be height and width in pixels"),
        ("timm:vit_tiny_patch16_224", {"img_size": "224"}, "img_size='224' should be height and width"),
        ("timm:vit_tiny_patch16_224", {"drop_path": 1.5}, "drop_path=1.5 is a probability"),
        (
            "timm:swin_tiny_patch4_window7_224",
            {"output_stride": 32, "drop_path": "a"},
            "drop_path='a' is a probability",
        ),
    ],
)
def test_mistake_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        backbones.create(name, **options)


@pytest.mark.parametrize(
    ("name", "stride"),
    [("resnet18", 32), ("resnet18", 8), ("swin_tiny_patch4_window7_224", 32), ("vit_tiny_patch16_224", 8)],
)
def test_another_error_of_timm_is_not_taken_for_an_impossible_stride(name, stride, monkeypatch):
    def create_model(name, **arguments):
        raise TypeError("'NoneType' object is not callable")

    monkeypatch.setattr(import_timm(), "create_model", create_model)
    message = rf"^timm [\d.]+\S* cannot build timm:{name}: TypeError: 'NoneType' object is not callable$"
    with pytest.raises(ValueError, match=message):
        backbones.create(f"timm:{name}", output_stride=stride)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"timm:resnet18 needs the extra: pip install 'segattn\[timm\]'"):
        backbones.create("timm:resnet18")


LITE = "timm:tf_efficientnet_lite0"


@pytest.mark.parametrize(
    ("name", "stages", "output_stride"),
    [
        (LITE, 1, 4), (LITE, 2, 8), (LITE, 3, 16), (LITE, 3, 8), ("timm:resnet18", 2, 8), ("timm:mobilenetv3_small_050", 1, 4),
        ("timm:densenet121", 2, 8), ("timm:dla34", 2, 8),  # not to be dilated
        ("timm:pvt_v2_b0", 2, 8), ("timm:swin_tiny_patch4_window7_224", 2, 8), ("timm:hiera_tiny_224", 3, 16),
    ],
)  # fmt: skip
def test_backbone_of_fewer_stages_is_the_beginning_of_the_whole_one(name, stages, output_stride, small):
    whole = backbones.create(name, output_stride=8 if (name, output_stride) == (LITE, 8) and stages == 3 else 32).eval()
    body = backbones.create(name, output_stride=output_stride, stages=stages).eval()
    state = whole.state_dict()
    body.load_state_dict({key: state[key] for key in body.state_dict()})
    assert body.later == state.keys() - body.state_dict().keys()
    for size in ((65, 97), (97, 41)):
        x = torch.randn(1, 3, *size)
        with torch.no_grad():
            expected, maps = whole(x), body(x)
        for index, each in enumerate(maps):
            torch.testing.assert_close(each, expected[min(index, stages - 1)], rtol=1e-4, atol=1e-4)
        assert [tuple(each.shape[1:]) for each in maps] == maps_of(body, size)
    assert body.strides[-1] == output_stride
    body.train()(torch.randn(2, 3, 65, 97))[-1].square().mean().backward()
    assert [key for key, value in body.named_parameters() if value.grad is None] == []


def test_two_stages_of_efficientnet_lite_see_67_pixels():
    body = backbones.create(LITE, output_stride=8, stages=2).eval()
    image = torch.randn(1, 3, 193, 193, requires_grad=True)
    body(image)[-1][0, :, 12, 12].abs().sum().backward()
    seen = (image.grad.abs().sum((0, 1)) > 0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [67, 67]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (LITE, {"stages": 0}, "stages=0 is not possible; use 1, 2, 3 or 4"),
        (LITE, {"stages": 5}, "stages=5 is not possible"),
        (LITE, {"stages": 2.0}, "stages=2.0 is not possible"),
        (LITE, {"stages": True}, "stages=True is not possible"),
        ("timm:hrnet_w18_small", {"stages": 2}, "hrnet_w18_small cannot have fewer stages"),
        ("timm:xception41", {"stages": 2}, "xception41 cannot have fewer stages"),
        (
            LITE,
            {"stages": 2, "output_stride": 16},
            r"cannot have output stride 16 \(its maps have strides 4, 8, 8, 8\); try output_stride=8 ",
        ),
        ("timm:pvt_v2_b0", {"stages": 2, "output_stride": 32}, "try output_stride=8 "),
        ("timm:deit_tiny_patch16_224", {"stages": 2, "output_stride": 16}, "has no option 'stages'"),
    ],
)
def test_stages_that_are_not_possible_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        backbones.create(name, **options)
