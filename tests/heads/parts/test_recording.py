"""What heads ask while a graph is recorded, and the operators that every recorder knows."""

import pytest
import torch
from torch import nn

from segattn.heads.parts.recording import adaptive_avg_pool2d, recording, unflatten


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


def test_unflatten_is_torchs_and_a_view():
    x = torch.randn(3, 5, 12).transpose(1, 2)
    y = unflatten(x, 1, (4, 3))
    assert torch.equal(y, x.unflatten(1, (4, 3)))
    assert y.data_ptr() == x.data_ptr()


class Pooled(nn.Module):
    """Adaptive pooling to 3x7 bins."""

    def forward(self, x):
        return adaptive_avg_pool2d(x, (3, 7))


@pytest.mark.parametrize("size", [(11, 13), (2, 5), (29, 7)])
def test_recorded_pooling_is_torchs_at_other_sizes(size):
    batch, height, width = (torch.export.Dim.DYNAMIC for _ in range(3))
    sample = torch.zeros(2, 5, 11, 13)
    program = torch.export.export(Pooled(), (sample,), dynamic_shapes=({0: batch, 2: height, 3: width},))
    x = torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(program.module()(x), nn.functional.adaptive_avg_pool2d(x, (3, 7)))
    assert not [node for node in program.graph.nodes if "adaptive" in str(node.target)]
