"""Attention over chosen positions: with the cross it is CCNet's, and each set is what its name says."""

import pytest
import torch

import segattn
from segattn.heads.ccnet import CrissCross
from segattn.heads.parts.masked import MaskedAttention

H, W = 5, 7
SETS = {
    "cross": lambda y, x: y == 0 or x == 0,
    "diagonals": lambda y, x: abs(y) == abs(x),
    "window": lambda y, x: max(abs(y), abs(x)) <= 1,
    "cross_window": lambda y, x: y == 0 or x == 0 or max(abs(y), abs(x)) <= 1,
    "star": lambda y, x: y == 0 or x == 0 or abs(y) == abs(x),
    "all": lambda y, x: True,
}


def create(**options):
    torch.manual_seed(0)
    attention = MaskedAttention(16, **options).double()
    torch.nn.init.constant_(attention.gamma, 0.7)
    return attention


@pytest.mark.parametrize("recurrence", [1, 2, 3])
def test_with_the_cross_it_is_criss_cross_attention(recurrence):
    attention = create(recurrence=recurrence)
    ccnet = CrissCross(16, recurrence=recurrence, implementation="reference").double()
    ccnet.load_state_dict(attention.state_dict())
    x = torch.randn(2, 16, H, W, dtype=torch.float64)
    torch.testing.assert_close(attention(x), ccnet(x))


@pytest.mark.parametrize("positions", SETS)
def test_a_position_takes_from_its_set_alone(positions):
    attention = create(positions=positions, window=3, recurrence=1)
    x = torch.randn(1, 16, H, W, dtype=torch.float64)
    chosen = attention.chosen(H, W)
    for row, column in [(0, 0), (2, 3), (4, 1)]:
        (weights,) = attention.maps(x, (row, column))["affinity"]
        inside = torch.tensor([[SETS[positions](y - row, v - column) for v in range(W)] for y in range(H)])
        assert torch.equal(weights > 0, inside)
        assert torch.equal(chosen[row * W + column].reshape(H, W), inside)
        assert weights.sum().item() == pytest.approx(1)
        logits = torch.einsum("d,dyx->yx", attention.query(x)[0, :, row, column], attention.key(x)[0])
        expected = (logits.exp() * inside / (logits.exp() * inside).sum() * attention.value(x)[0]).sum((1, 2))
        torch.testing.assert_close(attention.gather(x)[0, :, row, column], expected)
    assert attention.pairs(H, W) == int(chosen.sum())


@pytest.mark.parametrize("options", [{"positions": "ring"}, {"window": 4}, {"window": 0}, {"recurrence": 0}])
def test_what_is_not_possible_is_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MaskedAttention(16, **options)


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
def test_a_network_has_it_and_it_starts_as_the_identity(mode):
    options = {"channels": 16} | ({"positions": "star"} if mode == "controlled" else {})
    network = segattn.create_model(
        "segattn.heads.parts.masked", num_classes=3, backbone="resnet18", mode=mode, head_options=options
    )
    x = torch.randn(2, 16, 9, 6)
    assert torch.equal(network.head.attention(x), x)
    assert network.eval()(torch.randn(1, 3, 33, 65)).shape == (1, 3, 33, 65)
