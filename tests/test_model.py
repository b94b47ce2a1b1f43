import sys

import pytest
import torch

from segattn import backbones, create_model, heads
from segattn.backbones.pretrained import load_backbone_weights
from segattn.model import build_model
from tests import tiny

SMALL = {"backbone": "resnet18", "backbone_options": {"width": 8}}
HEAD_OPTIONS = {"channels": 16}
K = 5


def small_model(head="fcn", **options):
    torch.manual_seed(0)
    return create_model(head, num_classes=K, **{**SMALL, "head_options": HEAD_OPTIONS, **options})


@pytest.fixture(params=heads.names())
def head(request):
    return request.param


@torch.no_grad()
def test_logits_have_the_size_of_the_image(head):
    model = small_model(head).eval()
    for size in ((33, 65), (47, 31), (64, 40)):
        assert model(torch.randn(2, 3, *size)).shape == (2, K, *size)


@torch.no_grad()
def test_outputs_in_training_are_those_with_a_loss_weight_at_the_size_of_the_image(head):
    model = small_model(head).train()
    outputs = model(torch.randn(2, 3, 47, 61))
    assert outputs.keys() == model.loss_weights.keys()
    assert {logits.shape for logits in outputs.values()} == {(2, K, 47, 61)}
    assert all(weight > 0 for weight in model.loss_weights.values())


def test_every_head_has_one_auxiliary_supervision(head):
    model = small_model(head)
    own = heads.declared(heads.module(head).Head, "own_auxiliary")
    assert (model.auxiliary is None) == own
    assert own or "aux" in model.loss_weights
    assert len(model.loss_weights) > 1


def test_every_trained_parameter_gets_a_gradient(head):
    model = small_model(head).train()
    # Gates and scales that start at zero would hide what lies behind them.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2:
                parameter.copy_(0.5 + torch.rand(parameter.shape, generator=generator))
    outputs = model(torch.randn(2, 3, 47, 61))
    sum(logits.square().mean() for logits in outputs.values()).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_controlled_mode_gives_every_head_the_same_surroundings():
    def surroundings(name):
        model = small_model(name, mode="controlled")
        return {key: value.shape for key, value in model.head.state_dict().items() if not key.startswith("attention.")}

    expected = surroundings("fcn")
    assert len(expected) > 0
    assert {name: surroundings(name) for name in heads.names()} == dict.fromkeys(heads.names(), expected)


def test_auxiliary_weight_zero_leaves_the_auxiliary_head_out():
    model = small_model(auxiliary_weight=0)
    assert model.auxiliary is None
    assert model.loss_weights == {"out": 1.0}


def test_auxiliary_weight_is_the_loss_weight():
    assert small_model(auxiliary_weight=0.7).loss_weights == {"out": 1.0, "aux": 0.7}


def test_auxiliary_head_reads_stage_three():
    model = small_model().train()
    with torch.no_grad():
        for parameter in model.backbone.layer4.parameters():
            parameter.fill_(float("nan"))  # whatever depends on stage 4 is spoilt
    outputs = model(torch.randn(2, 3, 33, 41))
    assert outputs["out"].isnan().all()
    assert outputs["aux"].isfinite().all()


@pytest.mark.parametrize("align_corners", [True, False])
def test_align_corners_decides_how_logits_are_brought_to_the_image(align_corners):
    model = small_model(align_corners=align_corners).eval()
    images = torch.randn(1, 3, 33, 41)
    logits = model.head(model.backbone(images))["out"]
    expected = torch.nn.functional.interpolate(logits, (33, 41), mode="bilinear", align_corners=align_corners)
    assert torch.equal(model(images), expected)
    assert small_model(align_corners=not align_corners).eval()(images).sub(expected).abs().max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ccnett",), "unknown head 'ccnett'; did you mean ccnet"),
        (("attention",), "Known heads: .*ccnet.*fcn"),
        (
            ("my.missing.head",),
            "head my.missing.head: no package my is installed, and the working directory .* has no my.py or folder my",
        ),
    ],
)
def test_unknown_head_is_named_with_the_nearest(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_model(*arguments, num_classes=K)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet51"}, "unknown backbone 'resnet51'; did you mean resnet50 or resnet"),
        ({"head_options": {"chanels": 8}}, "head 'fcn' has no option 'chanels'; did you mean channels"),
        ({"backbone_options": {"widht": 8}}, "backbone 'resnet18' has no option 'widht'; did you mean width"),
        ({"mode": "fair"}, "unknown mode 'fair'; use one of faithful, controlled"),
        ({"output_stride": 2}, "output_stride=2 is not possible; use one of 4, 8, 16, 32"),
        ({"num_classes": 0}, "num_classes=0 should be at least 1"),
        ({"pretrained": "nowhere.pth"}, "nowhere.pth: no such file"),
    ],
)
def test_wrong_option_is_named_with_the_nearest(options, message):
    with pytest.raises(ValueError, match=message):
        create_model("fcn", **{"num_classes": K, **SMALL, **options})


OWN_HEAD = """
from torch import nn

class Head(nn.Module):
    loss_weights = {"out": 1.0, "early": 0.25}
    own_auxiliary = True

    def __init__(self, in_channels, num_classes, *, gain=1.0):
        super().__init__()
        self.attention = nn.Identity()
        self.early = nn.Conv2d(in_channels[0], num_classes, 1)
        self.late = nn.Conv2d(in_channels[3], num_classes, 1)
        self.gain = gain

    def forward(self, features):
        outputs = {"out": self.gain * self.late(self.attention(features[3]))}
        return {**outputs, "early": self.early(features[0])} if self.training else outputs

    def attention_maps(self, features, pixel):
        return {}
"""


@pytest.fixture
def own_head(tmp_path, monkeypatch):
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "tenth.py").write_text(OWN_HEAD)
    (tmp_path / "mylab" / "empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield "mylab.tenth"
    for name in [name for name in sys.modules if name.split(".")[0] == "mylab"]:
        del sys.modules[name]


def test_head_by_dotted_path_is_a_head_like_any_other(own_head):
    model = create_model(own_head, num_classes=K, head_options={"gain": 2.0}, **SMALL)
    assert model.loss_weights == {"out": 1.0, "early": 0.25}
    assert model.auxiliary is None
    assert {name: x.shape for name, x in model.train()(torch.randn(2, 3, 33, 47)).items()} == {
        "out": (2, K, 33, 47),
        "early": (2, K, 33, 47),
    }


def test_head_by_dotted_path_has_its_options_checked_too(own_head):
    with pytest.raises(ValueError, match="has no option 'gian'; did you mean gain"):
        create_model(own_head, num_classes=K, head_options={"gian": 2.0}, **SMALL)
    with pytest.raises(ValueError, match="no controlled form"):
        create_model(own_head, num_classes=K, mode="controlled", **SMALL)
    with pytest.raises(ValueError, match="has no class Head"):
        create_model("mylab.empty", num_classes=K, **SMALL)


# Pretrained backbones


def random_state(stem, seed=3):
    """A backbone with random weights, running statistics too, and its state dict."""
    torch.manual_seed(seed)
    state = backbones.create("resnet18", stem=stem, width=8).state_dict()
    return {name: torch.rand(value.shape) if value.is_floating_point() else value for name, value in state.items()}


def own_part(state):
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def loaded_backbone(path, stem):
    options = {**SMALL, "backbone_options": {"width": 8, "stem": stem}}
    state = create_model(
        "fcn", num_classes=K, pretrained=path, head_options=HEAD_OPTIONS, **options
    ).backbone.state_dict()
    return own_part(state)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_torchvision_file_with_its_classifier_loads_into_the_plain_stem(tmp_path):
    state = random_state("plain")
    torch.save({**state, "fc.weight": torch.ones(1000, 64), "fc.bias": torch.ones(1000)}, tmp_path / "resnet18.pth")
    assert same(loaded_backbone(tmp_path / "resnet18.pth", "plain"), own_part(state))


def test_new_network_knows_no_classes_colours_or_experiment():
    model = create_model("fcn", num_classes=3, backbone="resnet18", backbone_options={"width": 8})
    assert (model.class_names, model.palette, model.experiment) == (None, None, None)


def test_experiments_model_section_reaches_the_network():
    section = tiny.experiment("ccnet", model={"output_stride": 16, "auxiliary_weight": 0.0}).model
    model = build_model(section, 7)
    assert model.num_classes == 7
    assert model.align_corners is section.align_corners
    assert model.auxiliary is None
    assert model.backbone(torch.zeros(1, 3, 32, 32))[-1].shape[-1] == 32 // 16


def test_mmsegmentation_file_loads_into_the_deep_stem(tmp_path):
    state = random_state("deep")
    stored = {f"backbone.{name}": value for name, value in own_part(state).items()}
    stored["decode_head.conv_seg.weight"] = torch.ones(19, 512, 1, 1)
    torch.save({"meta": {"CLASSES": ("road", "sky")}, "state_dict": stored}, tmp_path / "fcn_r18-d8.pth")
    assert same(loaded_backbone(tmp_path / "fcn_r18-d8.pth", "deep"), own_part(state))


def test_safetensors_file_loads(tmp_path):
    from safetensors.torch import save_file

    state = random_state("plain")
    save_file(state, tmp_path / "resnet18.safetensors")
    assert same(loaded_backbone(tmp_path / "resnet18.safetensors", "plain"), own_part(state))


def test_misfit_lists_keys_and_leaves_the_backbone_alone(tmp_path):
    state = random_state("plain")
    state["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    state["layer9.surprise"] = torch.zeros(1)
    torch.save(state, tmp_path / "misfit.pth")
    backbone = backbones.create("resnet18", width=8)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        load_backbone_weights(backbone, tmp_path / "misfit.pth")
    message = str(caught.value)
    assert "missing stem.0.weight" in message
    assert "unexpected conv1.weight" in message
    assert "layer9.surprise" in message or "more" in message
    assert "other shape layer1.0.conv1.weight" in message
    assert "stem='plain'" in message
    assert same(before, backbone.state_dict())


class Hostile:
    def __reduce__(self):
        return eval, ("__import__('os').environ.__setitem__('SEGATTN_HOSTILE', '1')",)


def test_pickle_that_carries_code_is_refused_and_not_run(tmp_path, monkeypatch):
    import os

    monkeypatch.delenv("SEGATTN_HOSTILE", raising=False)
    torch.save({"conv1.weight": Hostile()}, tmp_path / "hostile.pth")
    with pytest.raises(ValueError, match="cannot be read as tensors only"):
        load_backbone_weights(backbones.create("resnet18", width=8), tmp_path / "hostile.pth")
    assert "SEGATTN_HOSTILE" not in os.environ


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(2), {"state_dict": None}], ids=str)
def test_file_without_a_state_dict_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        load_backbone_weights(backbones.create("resnet18", width=8), tmp_path / "other.pth")


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "notes.pth").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"notes\.pth: cannot be read as tensors only"):
        load_backbone_weights(backbones.create("resnet18", width=8), tmp_path / "notes.pth")


def test_after_step_reaches_every_module_that_declares_it():
    model = create_model("emanet", num_classes=3, backbone="resnet18", head_options={"channels": 16}).train()
    before = model.head.attention.bases.clone()
    model(torch.randn(2, 3, 33, 33))
    assert torch.equal(model.head.attention.bases, before)  # a forward pass alone does not move them
    model.after_step()
    assert not torch.equal(model.head.attention.bases, before)
    moved = model.head.attention.bases.clone()
    model.after_step()  # nothing has been gathered since
    assert torch.equal(model.head.attention.bases, moved)


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("head_options", {"mode": "faithful"}),
        ("backbone_options", {"output_stride": 8}),
        ("backbone_options", {"in_channels": 3}),
    ],
)
def test_settings_of_the_network_are_no_options_of_its_parts(section, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{section} has '{name}', .* give it as model.{name}"):
        create_model("fcn", num_classes=2, backbone="resnet18", **{section: options})


@pytest.mark.parametrize("name", ["name", "in_channels", "num_classes"])
def test_arguments_of_a_head_are_no_options(name):
    with pytest.raises(ValueError, match=f"head 'danet' has no option '{name}'"):
        create_model("danet", num_classes=2, backbone="resnet18", head_options={name: 1})
