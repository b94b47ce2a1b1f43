"""What heads ask while a graph is recorded, and the operators that every recorder knows."""

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from segattn.heads.parts.recording import recording, simulated, unflatten


class Asks(nn.Module):
    """Adds 1 where a graph is recorded."""

    def forward(self, x):
        return x + 1 if recording() else x


ZERO = torch.zeros(2)


def test_not_while_computing():
    assert not recording()
    assert Asks()(ZERO).tolist() == [0, 0]


@pytest.mark.parametrize(
    "record",
    [
        lambda module: torch.jit.trace(module, ZERO, check_trace=False),
        lambda module: torch.compile(module, backend="eager"),
        lambda module: torch.export.export(module, (ZERO,)).module(),
    ],
    ids=["trace", "compile", "export"],
)
def test_while_recording(record):
    assert record(Asks())(ZERO).tolist() == [1, 1]
    assert not recording()


def test_fake_tensors_are_simulated():
    with FakeTensorMode():
        assert simulated(torch.zeros(2))
    assert not simulated(ZERO)
    assert not simulated(torch.zeros(2, device="meta"))


def test_unflatten_is_torchs_and_a_view():
    x = torch.randn(3, 5, 12).transpose(1, 2)
    y = unflatten(x, 1, (4, 3))
    assert torch.equal(y, x.unflatten(1, (4, 3)))
    assert y.data_ptr() == x.data_ptr()
