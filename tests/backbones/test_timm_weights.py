"""Weights of timm's networks in a file or by name; nothing is downloaded."""

import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("timm")

from segattn import backbones, create_model
from segattn.backbones import pretrained, timm_weights
from segattn.config import Optimization
from segattn.training import execution, parts
from tests import tiny_timm

PLAIN, SWIN, CONVNEXT = "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"
HEAD_ONLY = Optimization(train="head")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    tiny_timm.cut(monkeypatch)


def whole(name, **options):
    """A classifier of timm with random weights."""
    import timm

    torch.manual_seed(7)
    return timm.create_model(name, **options)


def file_of(network, folder):
    path = folder / "weights of timm.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def network(name, **options):
    torch.manual_seed(0)
    return create_model("fcn", num_classes=3, backbone=f"timm:{name}", output_stride=32, **options)


@pytest.mark.parametrize("name", [PLAIN, SWIN, CONVNEXT, "vit_small_patch14_dinov2", "hiera_tiny_224", "resnet18"])
def test_file_of_a_classifier_gives_the_same_maps(name, tmp_path):
    reference = whole(name).eval()
    model = network(name, pretrained=file_of(reference, tmp_path)).eval()
    images = torch.randn(1, 3, *reference.pretrained_cfg["input_size"][-2:])
    if hasattr(model.backbone, "pyramid"):
        model.backbone.pyramid = None
    with torch.no_grad():
        mine = model.backbone(images)[-1]
        wanted = {"indices": 1, "intermediates_only": True, "norm": hasattr(model.backbone, "pyramid")}
        other = reference.forward_intermediates(images, output_fmt="NCHW", **wanted)[-1]
    assert mine.shape == other.shape
    assert torch.allclose(mine, other, rtol=1e-4, atol=1e-5)


def test_positions_of_a_file_are_resized_to_another_grid(tmp_path):
    path = file_of(whole(PLAIN), tmp_path)
    model = network(PLAIN, pretrained=path, backbone_options={"img_size": [64, 128]})
    assert model.backbone.network.pos_embed.shape[1] == 1 + 4 * 8


def test_pyramid_starts_at_random_and_the_record_says_so(tmp_path):
    path = file_of(whole(PLAIN), tmp_path)
    before, model = network(PLAIN), network(PLAIN, pretrained=path)
    assert model.started_from == f"backbone from {path} (its pyramid at random); head at random"
    own, fresh = model.backbone.pyramid.state_dict(), before.backbone.pyramid.state_dict()
    assert all(torch.equal(own[key], fresh[key]) for key in own)
    with pytest.raises(
        ValueError, match=r"its pyramid has no pretrained weights; .*pyramid=false --model.output-stride 16"
    ):
        execution.arrange(model, HEAD_ONLY, synchronize=False)
    with pytest.raises(ValueError, match=r"optimization\.freeze freezes the backbone, and its pyramid"):
        parts.freeze(model, Optimization(freeze="backbone"))


def test_backbone_whose_pyramid_is_trained_can_be_frozen(tmp_path):
    trained = network(PLAIN)
    path = tmp_path / "trained.safetensors"
    save_file({f"backbone.{key}": value for key, value in trained.backbone.state_dict().items()}, path)
    model = network(PLAIN, pretrained=path)
    assert all(
        torch.equal(value, trained.backbone.state_dict()[key]) for key, value in model.backbone.state_dict().items()
    )
    assert "at random;" not in model.started_from
    execution.arrange(model, HEAD_ONLY, synchronize=False)
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        (
            PLAIN,
            "deit_tiny_distilled_patch16_224",
            "safetensors does not fit timm:vit_tiny_patch16_224: timm cannot adapt it",
        ),
        (PLAIN, "resnet18", "does not fit: missing network.cls_token"),
        (SWIN, "resnet18", "The file should be of timm:swin_tiny_patch4_window7_224"),
        (CONVNEXT, PLAIN, "does not fit"),
    ],
)
def test_file_of_another_network_is_refused(name, other, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        network(name, pretrained=file_of(whole(other), tmp_path))


def test_file_of_another_size_names_the_tensors(tmp_path, monkeypatch):
    path = file_of(whole(PLAIN), tmp_path)
    monkeypatch.setitem(tiny_timm._VIT, "embed_dim", 24)
    with pytest.raises(
        ValueError, match=r"other shape network.blocks.0.attn.proj.bias, .* and \d+ more. The file should be of"
    ):
        network(PLAIN, pretrained=path)


def published(monkeypatch, error=None):
    """timm's `pretrained=True` gives random weights, or fails."""
    import timm

    build = timm.create_model

    def create_model(name, *, pretrained=False, **options):
        if pretrained and error:
            raise error
        torch.manual_seed(7)
        return build(name, **options)

    monkeypatch.setattr(timm, "create_model", create_model)


def test_published_name_is_read_by_timm(monkeypatch):
    published(monkeypatch)
    name = "vit_small_patch14_dinov2.lvd142m"
    model = network("vit_small_patch14_dinov2", pretrained=f"timm:{name}")
    reference = whole("vit_small_patch14_dinov2")
    assert torch.equal(model.backbone.network.blocks[0].attn.qkv.weight, reference.blocks[0].attn.qkv.weight)
    assert model.started_from.startswith(f"backbone from timm:{name} (its pyramid at random)")


def test_option_pretrained_reads_the_weights_of_the_name(monkeypatch):
    published(monkeypatch)
    body = backbones.create("timm:vit_small_patch14_dinov2.lvd142m", pretrained=True)
    assert torch.equal(body.network.patch_embed.proj.weight, whole("vit_small_patch14_dinov2").patch_embed.proj.weight)


def test_published_network_with_another_mean_is_refused(monkeypatch):
    published(monkeypatch)
    with pytest.raises(ValueError, match=r"takes images with mean \[0.5, 0.5, 0.5\].*set model.mean"):
        network(PLAIN, pretrained="timm:vit_tiny_patch16_224.augreg_in21k")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18.nonsense", r"timm publishes no weights timm:resnet18.nonsense; timm has resnet18\."),
        ("nonsense", "timm publishes no weights timm:nonsense; segattn backbones PATTERN lists networks"),
    ],
)
def test_unpublished_name_is_told(name, message):
    with pytest.raises(ValueError, match=message):
        pretrained.read(f"timm:{name}")


def test_offline_the_message_says_how_to_go_on(monkeypatch):
    published(monkeypatch, OSError("no route to host"))
    with pytest.raises(
        ValueError, match=r"resnet18: cannot be downloaded .OSError: no route to host.*--model.pretrained FILE"
    ):
        timm_weights.downloaded("resnet18")


@pytest.mark.parametrize("with_counts", [True, False])
@pytest.mark.parametrize("own_names", [False, True])
def test_backbone_of_fewer_stages_takes_its_part_of_a_whole_file(own_names, with_counts, tmp_path):
    name = "tf_efficientnet_lite0"
    source = backbones.create(f"timm:{name}", output_stride=8) if own_names else whole(name)
    if not with_counts:  # of batches, which norms keep and published files often lack
        for module in source.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.num_batches_tracked = None
    model = create_model(
        "fcn",
        num_classes=3,
        backbone=f"timm:{name}",
        backbone_options={"stages": 2},
        pretrained=file_of(source, tmp_path),
    )
    state = source.state_dict()
    for key, value in model.backbone.state_dict().items():
        if with_counts or not key.endswith("num_batches_tracked"):
            assert torch.equal(value, state[key if own_names else key.removeprefix("network.")])


def test_file_of_another_network_in_own_names_is_refused_by_a_backbone_of_fewer_stages(tmp_path):
    other = backbones.create("timm:resnet18", output_stride=8)
    with pytest.raises(ValueError, match=r"does not fit.*unexpected network\.(bn1|conv1|layer1)"):
        create_model(
            "fcn", num_classes=3, backbone="timm:tf_efficientnet_lite0", backbone_options={"stages": 2},
            pretrained=file_of(other, tmp_path),
        )  # fmt: skip


@pytest.mark.parametrize("own_names", [False, True])
def test_file_of_a_smaller_sister_is_refused_by_a_backbone_of_fewer_stages(own_names, tmp_path):
    sister = backbones.create("timm:resnet50", output_stride=8) if own_names else whole("resnet50")
    with pytest.raises(ValueError, match=r"lacks network\.layer3\.10\..* of a later stage"):
        create_model(
            "fcn", num_classes=3, backbone="timm:resnet101", backbone_options={"stages": 2},
            pretrained=file_of(sister, tmp_path),
        )  # fmt: skip


def test_file_of_a_backbone_of_fewer_stages_fits_one(tmp_path):
    source = backbones.create("timm:resnet18", output_stride=8, stages=2)
    model = create_model(
        "fcn",
        num_classes=3,
        backbone="timm:resnet18",
        backbone_options={"stages": 2},
        pretrained=file_of(source, tmp_path),
    )
    state = source.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.backbone.state_dict().items())
