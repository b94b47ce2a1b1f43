"""Which mechanisms return their input when they are new."""

import pytest
import torch
from torch import nn

from segattn import create_model, heads
from segattn.evaluation.identity import is_identity
from segattn.model import SegmentationModel

SIZE = (65, 97)


def network(name, mode="controlled"):
    torch.manual_seed(0)
    return create_model(
        name, num_classes=5, backbone="resnet18", mode=mode, auxiliary_weight=0, backbone_options={"width": 8},
        head_options={"channels": 16},
    )  # fmt: skip


class Drawing(nn.Module):
    """Returns its input, and draws a random number that nobody needs."""

    def forward(self, x):
        torch.rand(1)
        return x


class Owner(nn.Module):
    """A head around a mechanism."""

    loss_weights = {"out": 1.0}  # noqa: RUF012

    def __init__(self, attention, calls=True):
        super().__init__()
        self.attention, self.calls = attention, calls
        self.classify = nn.Conv2d(64, 5, 1)

    def forward(self, features):
        x = features[-1]
        return {"out": self.classify(self.attention(x) if self.calls else self.attention.forward(x))}


def owning(attention, **options):
    return SegmentationModel(network("fcn").backbone, Owner(attention, **options), None, num_classes=5)


def test_mechanisms_behind_closed_gates_return_their_input_and_the_others_do_not():
    tried = {name: is_identity(network(name), SIZE) for name in heads.names()}
    assert {name for name, identity in tried.items() if identity} == {
        "ccnet",
        "danet",
        "dnlnet",
        "efficient",
        "agent",
        "large_kernel",
        "neighborhood",
        "ss2d",
        "star",
        "flanet",
        "non_local",
    }
    assert {name for name, identity in tried.items() if identity is None} == {"fcn"}


def test_the_faithful_heads_are_tried_too():
    assert is_identity(network("danet", "faithful"), SIZE) is True  # two maps, each against its own input
    assert is_identity(network("isanet", "faithful"), SIZE) is False


@pytest.mark.parametrize("value", [1.0, 1e-3])
def test_an_open_gate_is_no_identity(value):
    model = network("ccnet")
    assert is_identity(model, SIZE) is True
    nn.init.constant_(model.mechanism.gamma, value)
    assert is_identity(model, SIZE) is False


def test_neither_network_nor_random_state_is_changed():
    model, drawing = network("emanet").train(), owning(Drawing())
    model.head.sandwich.eval()
    modes, state = [module.training for module in model.modules()], torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert is_identity(model, SIZE) is False
    assert is_identity(drawing, SIZE) is True
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_mechanism_that_is_not_called_as_a_module_cannot_be_tried():
    with pytest.raises(ValueError, match="does not call its mechanism as a module"):
        is_identity(owning(nn.Identity(), calls=False), SIZE)
