"""The rate that each group gets, from the change of its weights, and the table that says so."""

import pytest
import torch

from segattn import create_model
from segattn.config import Optimization
from segattn.training import rates
from segattn.training.optimization import lr_factors, optimizer_of, set_learning_rate


@pytest.fixture
def model():
    return create_model(
        "dnlnet", num_classes=3, backbone="resnet18", backbone_options={"width": 8}, head_options={"channels": 8}
    )


def changes(model, optimization, iteration, gradient):
    """By how much one step with that gradient everywhere changes each parameter: its mean, which all its numbers share."""
    optimizer = optimizer_of(model, optimization)
    set_learning_rate(optimizer, iteration, optimization)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return before, {name: parameter.detach() - before[name] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_moves_each_group_by_its_own_rate(optimizer, model):
    # AdamW's first step is lr g / (|g| + eps): its size is the rate, whatever the gradient
    gradient = {"sgd": 1.0, "adamw": 3.0}[optimizer]
    optimization = Optimization(
        optimizer=optimizer, lr=0.5, min_lr=0.0, layer_decay=0.8, head_lr_factor=2.0, weight_decay=0.0, iterations=10
    )
    _, moved = changes(model, optimization, 5, gradient)
    rate = 0.5 * 0.5**0.9  # half of the iterations
    for name, change in moved.items():
        if name.startswith("backbone.layer"):
            stage, block = int(name[14]), int(name[16])
            factor = 0.8 ** (9 - (1 + 2 * (stage - 1) + block))
        elif name.startswith("backbone."):
            factor = 0.8**9
        else:
            factor = 2.0
        assert torch.allclose(change, torch.full_like(change, -rate * factor), rtol=1e-4, atol=1e-6), name


def test_a_step_without_gradient_shows_each_groups_weight_decay(model):
    optimization = Optimization(
        optimizer="adamw", lr=0.5, min_lr=0.0, layer_decay=0.8, weight_decay=0.1, decay_norm_and_bias=False
    )
    factors = lr_factors(model, optimization)
    before, moved = changes(model, optimization, 0, 0.0)
    for name, change in moved.items():
        plain = before[name].ndim < 2 or name.startswith(("head.attention.query.", "head.attention.key."))
        expected = 0.0 if plain else -0.5 * factors[name] * 0.1  # decoupled: rate times decay times weight
        assert torch.allclose(change, expected * before[name], rtol=1e-3, atol=1e-7), name


def test_table_says_what_the_groups_have(model):
    optimization = Optimization(
        optimizer="adamw", lr=1e-3, layer_decay=0.5, weight_decay=0.05, head_lr_factor=10.0, decay_norm_and_bias=False
    )
    lines = rates.table(model, optimizer_of(model, optimization), optimization).splitlines()
    assert lines[0].startswith("AdamW: parameters, learning rate at its highest, weight decay")
    assert max(map(len, lines)) <= 80
    stem = sum(p.numel() for name, p in model.backbone.named_parameters() if name.startswith(("stem", "layer1.0")))
    vectors = sum(
        p.numel()
        for name, p in model.backbone.named_parameters()
        if name.startswith(("stem", "layer1.0")) and p.ndim < 2
    )
    assert lines[1].split() == [
        *("backbone,", "layers", "0", "to", "1", f"{stem:,}", "1.95e-06", "to", "3.91e-06", "0.05"),
        *(f"({vectors}", "with", "0)"),
    ]
    assert [line.split("  ")[1] for line in lines[1:]] == [
        *(f"backbone, layers {first} to {first + 1}" for first in (0, 2, 4, 6)),
        *("backbone, layer 8", "auxiliary", "head"),
    ]
    assert sum(int(line[26:].split()[0].replace(",", "")) for line in lines[1:]) == sum(
        p.numel() for p in model.parameters()
    )
    assert "0.01 " in lines[-1]


def test_table_of_a_deep_transformer_fits_into_a_terminal():
    pytest.importorskip("timm")
    deep = create_model("fcn", num_classes=19, backbone="timm:vit_tiny_patch16_224")
    optimization = Optimization(
        optimizer="adamw", lr=1e-4, min_lr=0.0, layer_decay=0.8, weight_decay=1e-4, decay_norm_and_bias=False
    )
    lines = rates.table(deep, optimizer_of(deep, optimization), optimization).splitlines()
    assert max(map(len, lines)) < 80
    assert [line.split("  ")[1] for line in lines[1:]] == [
        *("layers 0 to 2", "layers 3 to 5", "layers 6 to 8", "layers 9 to 11", "layer 12"),
        *("backbone, new", "auxiliary", "head"),
    ]


def test_table_reads_the_groups_and_not_the_settings(model):
    optimization = Optimization(optimizer="adamw", lr=1e-3)
    optimizer = optimizer_of(model, optimization)
    optimizer.param_groups[0]["lr_factor"] = 0.125
    assert "0.000125" in rates.table(model, optimizer, optimization)


def test_frozen_parts_are_in_no_line(model):
    model.backbone.requires_grad_(False)
    optimization = Optimization(optimizer="adamw", lr=1e-3)
    assert "backbone" not in rates.table(model, optimizer_of(model, optimization), optimization)


def test_plain_sgd_needs_no_table(model):
    model = create_model("fcn", num_classes=3, backbone="resnet18", backbone_options={"width": 8})
    assert rates.table(model, optimizer_of(model, Optimization()), Optimization()) == ""
