import dataclasses
import math

import pytest
import torch
from torch import nn

from segattn import create_model
from segattn.config import Optimization
from segattn.device import resolve_device, resolve_precision
from segattn.training.checks import check
from segattn.training.optimization import learning_rate, optimizer_of, set_learning_rate
from tests import tiny


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        # 1e-4 + (1e-2 - 1e-4) (1 - i/80000)^0.9
        (0, 0.01),
        (40_000, 0.0001 + 0.0099 * 0.5358867312681466),  # 0.5^0.9
        (60_000, 0.0001 + 0.0099 * 0.2871745887492587),  # 0.25^0.9
        (80_000, 0.0001),
    ],
)
def test_rate_follows_the_polynomial(iteration, expected):
    schedule = Optimization(iterations=80_000, lr=1e-2, min_lr=1e-4, poly_power=0.9, warmup=0)
    assert learning_rate(iteration, schedule) == pytest.approx(expected, rel=1e-12)


def test_power_one_is_a_straight_line():
    schedule = Optimization(iterations=4, lr=1.0, min_lr=0.0, poly_power=1.0)
    assert [learning_rate(i, schedule) for i in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_warm_up_rises_in_equal_steps_to_the_polynomial():
    schedule = Optimization(iterations=100, lr=1.0, min_lr=0.0, poly_power=0.0, warmup=4)
    assert [learning_rate(i, schedule) for i in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_rate_never_rises_above_a_start_that_is_below_the_lowest():
    schedule = Optimization(iterations=10, lr=1e-5, min_lr=1e-4)
    assert {learning_rate(i, schedule) for i in range(11)} == {1e-5}


@pytest.fixture
def model():
    return create_model(
        "danet", num_classes=3, backbone="resnet18", backbone_options={"width": 8}, head_options={"channels": 8}
    )


def groups_by_name(model, optimization):
    """Learning-rate factor and weight decay of each parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr_factor"], group["weight_decay"])
        for group in optimizer_of(model, optimization).param_groups
        for parameter in group["params"]
    }


def test_every_parameter_is_in_one_group(model):
    groups = optimizer_of(model, Optimization()).param_groups
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(members) == sorted(id(parameter) for parameter in model.parameters())


def test_everything_decays_alike_by_default(model):
    assert set(groups_by_name(model, Optimization(weight_decay=3e-4)).values()) == {(1.0, 3e-4)}


def test_norms_biases_and_gates_need_not_decay(model):
    groups = groups_by_name(model, Optimization(weight_decay=3e-4, decay_norm_and_bias=False))
    assert groups["backbone.layer1.0.conv1.weight"] == (1.0, 3e-4)
    for name in (
        "backbone.layer1.0.bn1.weight",
        "backbone.layer1.0.bn1.bias",
        "auxiliary.classify.conv.bias",
        "head.attention.position.gamma",
    ):
        assert groups[name] == (1.0, 0.0)
    convolutions = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    assert {name for name, (_, decay) in groups.items() if decay} == convolutions


def test_head_and_auxiliary_learn_by_their_factor(model):
    groups = groups_by_name(model, Optimization(head_lr_factor=10.0))
    assert {(name.split(".")[0], factor) for name, (factor, _) in groups.items()} == {
        ("backbone", 1.0),
        ("head", 10.0),
        ("auxiliary", 10.0),
    }


def test_frozen_parameters_are_left_out(model):
    for parameter in model.backbone.parameters():
        parameter.requires_grad = False
    assert {name.split(".")[0] for name in groups_by_name(model, Optimization())} == {"head", "auxiliary"}


def test_a_step_is_that_of_sgd_with_momentum_and_decay():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([2.0]))

    two = Two()
    optimizer = optimizer_of(two, Optimization(lr=0.1, momentum=0.5, weight_decay=0.25))
    expected, velocity = 2.0, 0.0
    for gradient in (3.0, -1.0, 2.0):
        two.w.grad = torch.tensor([gradient])
        optimizer.step()
        velocity = 0.5 * velocity + gradient + 0.25 * expected
        expected -= 0.1 * velocity
        assert two.w.item() == pytest.approx(expected, rel=1e-6)


def test_unknown_device_is_named():
    with pytest.raises(ValueError, match="device 'gpu' is not known; use auto, cpu or cuda"):
        resolve_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpu_that_is_not_there_is_an_error_and_auto_is_the_processor():
    with pytest.raises(ValueError, match="torch sees no GPU; use --device cpu"):
        resolve_device("cuda")
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(("amx", "expected"), [(True, "bf16"), (False, "fp32")])
def test_automatic_precision_of_a_processor_is_bfloat16_only_with_amx(amx, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve_precision("auto", torch.device("cpu")) == expected


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_precision_that_was_asked_for_is_kept(precision):
    assert resolve_precision(precision, torch.device("cpu")) == precision


def test_settings_are_those_of_the_experiment(model):
    group = optimizer_of(model, dataclasses.replace(Optimization(), lr=0.3, momentum=0.8)).param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.3, 0.8, False)


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
def test_a_head_exempts_parameters_from_weight_decay_by_name(mode):
    model = create_model(
        "dnlnet",
        num_classes=2,
        backbone="resnet18",
        mode=mode,
        head_options={"channels": 8},
        backbone_options={"width": 8},
    )
    optimizer = optimizer_of(model, Optimization(weight_decay=1e-3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(model.head.attention.query.weight)] == 0
    assert decay[id(model.head.attention.key.weight)] == 0
    assert decay[id(model.head.attention.value.weight)] == 1e-3


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        # 1e-6 + (1e-3 - 1e-6) (1 + cos(pi i / 80000)) / 2
        (0, 1e-3),
        (20_000, 1e-6 + 0.999e-3 * (1 + math.sqrt(0.5)) / 2),
        (40_000, 1e-6 + 0.999e-3 / 2),
        (80_000, 1e-6),
    ],
)
def test_cosine_falls_from_the_rate_to_the_lowest(iteration, expected):
    schedule = Optimization(iterations=80_000, lr=1e-3, min_lr=1e-6, schedule="cosine")
    assert learning_rate(iteration, schedule) == pytest.approx(expected, rel=1e-12)


def test_warm_up_begins_at_its_share_and_meets_the_schedule():
    schedule = Optimization(iterations=100, lr=1.0, min_lr=0.0, poly_power=0.0, warmup=4, warmup_ratio=0.2)
    assert [learning_rate(i, schedule) for i in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_default_share_of_the_warm_up_is_one_step_of_it():
    default = Optimization(iterations=50, warmup=7)
    told = dataclasses.replace(default, warmup_ratio=1 / 8)
    assert [learning_rate(i, default) for i in range(50)] == pytest.approx([learning_rate(i, told) for i in range(50)])


def test_a_step_is_that_of_adamw():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([[2.0]], dtype=torch.float64))

    one = One()
    optimizer = optimizer_of(one, Optimization(optimizer="adamw", lr=0.1, betas=(0.8, 0.9), weight_decay=0.25))
    w, mean, square = 2.0, 0.0, 0.0
    for step, gradient in enumerate((3.0, -1.0, 2.0), start=1):
        one.w.grad = torch.full_like(one.w, gradient)
        optimizer.step()
        mean, square = 0.8 * mean + 0.2 * gradient, 0.9 * square + 0.1 * gradient**2
        w -= 0.1 * 0.25 * w
        w -= 0.1 * (mean / (1 - 0.8**step)) / (math.sqrt(square / (1 - 0.9**step)) + 1e-8)
        assert one.w.item() == pytest.approx(w, rel=1e-9)


def test_factors_hold_in_every_iteration(model):
    optimization = Optimization(iterations=10, head_lr_factor=10.0, layer_decay=0.5, lr=0.1, min_lr=0.0)
    optimizer = optimizer_of(model, optimization)
    for iteration in (0, 3, 9):
        rate = set_learning_rate(optimizer, iteration, optimization)
        assert rate == learning_rate(iteration, optimization)
        factors = sorted(group["lr"] / rate for group in optimizer.param_groups)
        assert factors == pytest.approx([*(0.5**power for power in range(9, 0, -1)), 10.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adam"}, "optimizer is 'adam'; use one of sgd, adamw"),
        ({"schedule": "step"}, "schedule is 'step'; use one of poly, cosine"),
        (
            {"optimizer": "adamw", "min_lr": 0.0, "momentum": 0.8},
            "momentum is SGD's; with optimizer adamw leave it out",
        ),
        ({"betas": (0.9, 0.95)}, "betas are AdamW's; with optimizer sgd leave them out"),
        (
            {"optimizer": "adamw", "betas": (0.9, 1.0)},
            r"betas \(0.9, 1.0\) should be two numbers of at least 0 and below",
        ),
        ({"optimizer": "adamw", "betas": (0.9,)}, r"betas \(0.9,\) should be two numbers"),
        ({"momentum": 1.0}, "momentum=1.0 should be at least 0 and below 1"),
        ({"optimizer": "adamw", "lr": 6e-5}, r"min_lr=0.0001 is not below lr=6e-05.*set optimization.min_lr to 0"),
        ({"schedule": "cosine", "poly_power": 1.0}, "poly_power has no meaning for schedule cosine; leave it out"),
        ({"poly_power": -1.0}, "poly_power should be 0 or more"),
        ({"layer_decay": 0.0}, "layer_decay=0.0 should be above 0 and at most 1"),
        ({"layer_decay": 1.1}, "layer_decay=1.1 should be above 0 and at most 1"),
        ({"layer_decay": 0.9, "train": "head"}, "layer_decay is for the backbone, which train=head freezes"),
        ({"warmup": 5, "warmup_ratio": 1.5}, "warmup_ratio=1.5 should be between 0 and 1"),
        ({"warmup_ratio": 0.1}, "warmup_ratio needs a warm-up"),
        ({"clip_norm": -1.0}, "clip_norm should be 0 or more"),
        ({"head_lr_factor": 0.0}, "head_lr_factor should be above 0"),
        ({"loss": "ce + bce"}, "unknown loss 'bce'; did you mean ce"),
        ({"loss": "dice", "ohem": True}, "ohem is for ce, which loss 'dice' does not have; add ce or leave it out"),
        ({"loss": "focal", "label_smoothing": 0.1}, "label_smoothing is for ce, which loss 'focal' does not have"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 should be at least 0 and below 1"),
    ],
)
def test_setting_that_cannot_be_is_refused_with_advice(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        check(tiny.experiment(optimization=changes))
    assert "\n" not in str(caught.value)
