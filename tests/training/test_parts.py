"""Parts of a network: what is frozen stays as it is and costs nothing in the backward pass, and each part has its rate."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segattn import create_model, heads
from segattn.config import Optimization
from segattn.cost import head_facts
from segattn.evaluation.identity import is_identity
from segattn.evaluation.without_attention import learnt_gates
from segattn.training import execution, parts
from segattn.training.checks import check
from segattn.training.optimization import optimizer_of
from segattn.training.train import train
from tests import tiny


@pytest.fixture
def model():
    torch.manual_seed(0)
    options = {"backbone_options": {"width": 8}, "head_options": {"channels": 8}}
    return create_model("ccnet", num_classes=3, backbone="resnet18", **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("stem", {"stem"}),
        ("stage 2", {"stage2"}),
        ("stages 1-2", {"stem", "stage1", "stage2"}),
        ("Stages 2-3, norms", {"stage2", "stage3", "norms"}),
        ("stage1,stem", {"stem", "stage1"}),
        ("gates", {"gates"}),
        ("backbone", {"stem", "stage1", "stage2", "stage3", "stage4"}),
    ],
)
def test_words_name_parts(text, expected):
    assert parts.frozen_parts(text) == expected


@pytest.mark.parametrize(
    "text", ["stage 5", "stages 3-1", "stage", "head", "layer1", "stem;norms", "stages 1-2,", "all"]
)
def test_a_word_that_names_no_part_is_refused(text):
    with pytest.raises(
        ValueError, match=r"should be stem, stage N, stages M-N with N up to 4, backbone, norms or gates"
    ):
        parts.frozen_parts(text)


def arranged(model, **changes):
    optimization = Optimization(**changes)
    return execution.arrange(model, optimization, synchronize=False).train(), optimization


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_frozen_stages_have_no_gradients_no_optimiser_state_and_norms_in_eval_mode(model):
    model, optimization = arranged(model, freeze="stages 1-2")
    frozen = ("backbone.stem.", "backbone.layer1.", "backbone.layer2.")
    assert trainable(model) == {name for name, _ in model.named_parameters() if not name.startswith(frozen)}
    norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert {name for name, norm in norms.items() if norm.training} == {n for n in norms if not n.startswith(frozen)}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = optimizer_of(model, optimization)
    sum(logits.square().mean() for logits in model(torch.randn(2, 3, 33, 33)).values()).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith(frozen)}
    assert {"backbone.layer3.0.conv1.weight", "backbone.layer3.0.bn1.running_mean"} <= changed
    assert {id(p) for p in optimizer.state} == {id(p) for p in model.parameters() if p.requires_grad}


def saved_numbers(function, x):
    """Numbers that a forward pass keeps for the backward pass."""
    total = 0

    def pack(value):
        nonlocal total
        total += value.numel()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        function(x)
    return total


def test_the_backward_pass_stops_at_frozen_stages(model):
    """A pass through the whole backbone keeps what the two trained stages keep, and nothing of the others."""
    images = torch.randn(2, 3, 65, 65)
    whole = saved_numbers(model.train().backbone, images)
    backbone = arranged(model, freeze="stages 1-2")[0].backbone
    second = backbone(images)[1].detach()
    kept = saved_numbers(backbone, images)
    assert kept == saved_numbers(lambda x: backbone.layer4(backbone.layer3(x)), second)
    assert 0 < kept < 0.65 * whole  # at output stride 8 the last two stages have 6 tenths


def test_frozen_norms_are_those_of_the_backbone(model):
    model, _ = arranged(model, freeze="norms")
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            of_backbone = name.startswith("backbone.")
            assert module.training is not of_backbone
            assert module.weight.requires_grad is not of_backbone
    assert model.backbone.layer1[0].conv1.weight.requires_grad


def test_a_frozen_backbone_keeps_its_auxiliary_head_in_training(model):
    model, _ = arranged(model, freeze="backbone")
    assert {name.partition(".")[0] for name in trainable(model)} == {"head", "auxiliary"}
    assert set(model(torch.randn(2, 3, 33, 33))) == {"out", "aux"}
    assert not model.backbone.training


def test_frozen_gates_make_the_control_of_a_head():
    """Steps of a high rate move everything but what the gates scale: a mechanism that was the identity still is."""
    identities = set()
    for head in (name for name in heads.names() if head_facts(name).gates):
        torch.manual_seed(0)
        options = {"backbone_options": {"width": 8}, "head_options": {"channels": 16}, "mode": "controlled"}
        model = create_model(head, num_classes=3, backbone="resnet18", **options)
        before = is_identity(model, (65, 65))
        model, optimization = arranged(model, freeze="gates", lr=0.5, iterations=10)
        optimizer = optimizer_of(model, optimization)
        for _ in range(3):
            outputs = model(torch.randn(2, 3, 65, 65))
            sum(F.cross_entropy(logits, torch.randint(3, logits[:, 0].shape)) for logits in outputs.values()).backward()
            optimizer.step()
            optimizer.zero_grad()
        assert set(learnt_gates(model).values()) == {0.0}, head
        assert is_identity(model, (65, 65)) == before, head
        identities |= {head} if before else set()
    assert {"ccnet", "danet", "non_local", "agent", "star"} <= identities
    assert "denoised_nl" not in identities  # its convolutions stay


def test_gates_that_have_opened_cannot_be_frozen():
    model = create_model("ccnet", num_classes=3, backbone="resnet18", backbone_options={"width": 8})
    with torch.no_grad():
        model.mechanism.gamma.fill_(0.1)
    with pytest.raises(ValueError, match="gamma is not 0; start from a network without this mechanism"):
        arranged(model, freeze="gates")


def test_a_control_trains_from_random_weights_and_its_study_names_heads_without_gates(tmp_path):
    changes = {"freeze": "gates", "iterations": 2}
    quiet = {"validate_every": 0, "evaluation": {"examples": 0, "strata": False}}
    record = train(tiny.experiment("ccnet", optimization=changes, **quiet), tmp_path / "control", device="cpu")
    assert record.gates == {"gamma": 0.0}
    with pytest.raises(ValueError, match="names gates, but head psp has none"):
        check(tiny.experiment("psp", optimization=changes))


def test_gates_can_be_frozen_where_the_backbone_is_and_in_a_head_that_has_some():
    parts.check(Optimization(train="head", freeze="gates"))
    with pytest.raises(ValueError, match="freezes the whole backbone"):
        parts.check(Optimization(train="head", freeze="gates, stage 1"))
    for name in ("gates", "Gates", " norms", "Norms"):
        with pytest.raises(ValueError, match=f"'{name}'; the parts are"):
            parts.check(Optimization(lr_factors={name: 0.1}))
    with pytest.raises(ValueError, match="names gates, but the head has none"):
        arranged(create_model("fcn", num_classes=3, backbone="resnet18", backbone_options={"width": 8}), freeze="gates")


def test_layer_norms_and_group_norms_are_norms():
    network = nn.Sequential(nn.LayerNorm(2), nn.GroupNorm(1, 2), nn.InstanceNorm2d(2, affine=True), nn.RMSNorm(2))
    assert all(isinstance(module, parts.NORMS) for module in network)


def factors(model, **changes):
    optimization = Optimization(**changes)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = optimizer_of(model, optimization).param_groups
    return {names[id(parameter)]: group["lr_factor"] for group in groups for parameter in group["params"]}


def test_each_part_has_its_learning_rate(model):
    rates = factors(model, lr_factors={"backbone": 0.1, "stages 3-4": 0.5, "stage4": 0.7, "head": 10.0})
    assert rates["backbone.stem.0.weight"] == rates["backbone.layer2.0.conv1.weight"] == 0.1
    assert rates["backbone.layer3.0.conv1.weight"] == 0.5
    assert rates["backbone.layer4.0.bn1.bias"] == 0.7  # the entry that names the fewest parts
    assert rates["head.attention.query.weight"] == 10.0
    assert rates["auxiliary.classify.conv.bias"] == 1.0


def test_without_factors_the_head_factor_is_that_of_head_and_auxiliary_head(model):
    rates = factors(model, head_lr_factor=10.0, lr_factors={"stem": 0.2})
    assert rates["backbone.stem.0.weight"] == 0.2
    assert rates["backbone.layer1.0.conv1.weight"] == 1.0
    assert rates["head.attention.query.weight"] == rates["auxiliary.classify.conv.bias"] == 10.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_factors": {"stage5": 1.0}}, r"lr_factors has 'stage5'; the parts are stem, stage1"),
        ({"lr_factors": {"norms": 1.0}}, r"lr_factors has 'norms'"),
        ({"lr_factors": {"stem": 0}}, r"stem=0 should be a number above 0; to keep a part as it is, freeze it"),
        ({"lr_factors": {"stem": "0.1x"}}, r"stem='0.1x' should be a number above 0"),
        ({"lr_factors": {"stem": True}}, r"stem=True should be a number"),
        ({"lr_factors": {"head": 2.0}, "head_lr_factor": 10.0}, r"has head, and head_lr_factor is set too"),
        ({"lr_factors": {"stem": 2.0}, "freeze": "stages 1-2"}, r"has stem, but optimization.freeze freezes stem"),
        (
            {"lr_factors": {"backbone": 0.1}, "freeze": "stages 1-2, norms"},
            r"has backbone, but optimization.freeze freezes stage1; give factors to what is trained: stage3, stage4$",
        ),
        (
            {"train": "head", "freeze": "stem"},
            r"train=head freezes the whole backbone; optimization.freeze can be gates",
        ),
        ({"freeze": "everything"}, r"'everything' should be stem, stage N"),
    ],
)
def test_values_that_no_network_can_be_trained_with_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check(tiny.experiment(model={"pretrained": "some"}, optimization=changes))


def test_random_weights_are_not_frozen():
    with pytest.raises(ValueError, match=r"random ones have learnt nothing; give init_from or model.pretrained"):
        check(tiny.experiment(optimization={"freeze": "stem"}))


@pytest.mark.parametrize(
    ("name", "stride", "stem", "stage2"),
    [
        ("tf_efficientnet_lite0", 8, "conv_stem.weight", "blocks.2.0.conv_pw.weight"),
        ("convnext_atto", 32, "stem_0.weight", "stages_1.downsample.0.weight"),
        ("resnet18d", 8, "conv1.0.weight", "layer2.0.conv1.weight"),
    ],
)
def test_stages_of_timm_networks_end_where_their_maps_do(name, stride, stem, stage2):
    pytest.importorskip("timm")
    model = create_model("fcn", num_classes=2, backbone=f"timm:{name}", output_stride=stride)
    part = parts.parts_of(model, Optimization())
    assert part[f"backbone.network.{stem}"] == "stem"
    assert part[f"backbone.network.{stage2}"] == "stage2"
    in_order = [parts.BACKBONE.index(each) for key, each in part.items() if key.startswith("backbone.")]
    assert in_order == sorted(in_order)
    assert set(in_order) == {0, 1, 2, 3, 4}


def test_parts_of_a_backbone_of_fewer_stages():
    pytest.importorskip("timm")
    model = create_model(
        "fcn", num_classes=2, backbone="timm:resnet18", backbone_options={"stages": 2}, output_stride=8
    )
    part = parts.parts_of(model, Optimization(freeze="stem"))
    assert part["backbone.network.layer1.0.conv1.weight"] == "stage1"
    assert part["backbone.network.layer2.1.conv2.weight"] == "stage2"
    assert set(part.values()) == {"stem", "stage1", "stage2", "head", "auxiliary"}
    with pytest.raises(ValueError, match=r"optimization\.freeze names stage4, but the backbone has 2 stages"):
        parts.parts_of(model, Optimization(freeze="stem,stage4"))
    parts.freeze(model, Optimization(freeze="backbone"))
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())


class Unknown(nn.Module):
    channels = (2, 2, 2, 2)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)


def test_a_backbone_without_known_stages_is_one_part():
    model = nn.Module()
    model.backbone, model.head = Unknown(), nn.Conv2d(2, 2, 1)
    whole = parts.parts_of(model, Optimization(freeze="backbone", lr_factors={"head": 2.0}))
    assert whole["backbone.conv.weight"] == "backbone"
    for changes in ({"freeze": "stem"}, {"lr_factors": {"stage1": 2.0}}):
        with pytest.raises(ValueError, match=r"the stages of Unknown are not known"):
            parts.parts_of(model, Optimization(**changes))


def test_a_run_with_frozen_parts_resumes_to_the_last_bit(tmp_path):
    """The whole run, and the same in two parts."""
    trunk = tmp_path / "trunk"
    quiet = {"validate_every": 0, "evaluation": {"examples": 0, "strata": False}}
    train(tiny.experiment("fcn", optimization={"iterations": 1}, **quiet), trunk, device="cpu")
    changes = {"freeze": "stages 1-2, norms", "lr_factors": {"stage4": 0.5}, "iterations": 4}
    config = dataclasses.replace(tiny.experiment("ccnet", optimization=changes, **quiet), init_from=str(trunk))
    whole = train(config, tmp_path / "whole", device="cpu")

    class Cut(Exception):
        pass

    def cut(progress):
        if progress.stage == "train" and progress.done == 3:
            raise Cut

    with pytest.raises(Cut):
        train(config, tmp_path / "parts", device="cpu", on_progress=cut)
    record = train(config, tmp_path / "parts", device="cpu")
    assert [point.loss for point in record.curve] == [point.loss for point in whole.curve]
