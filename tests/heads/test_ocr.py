"""Object-contextual representations against their equation, written with loops over positions and classes."""

import pytest
import torch
from torch import Tensor

from segattn import heads
from segattn.heads.ocr import ObjectAttention
from tests.heads.oracle_layers import awake
from tests.heads.test_psp import layer_oracle

IMPLEMENTATIONS = ["reference", "fast"]
K = 4


def weights_oracle(block: ObjectAttention, sample: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """A (N, K), M (K, N) and the values of the classes, of one map (C, N)."""
    M = torch.stack([row.softmax(0) for row in logits])
    f = [sum(row[n] * sample[:, n] for n in range(sample.shape[1])) for row in M]
    keys = [layer_oracle(block.key[1], layer_oracle(block.key[0], vector)) for vector in f]
    rows = []
    for n in range(sample.shape[1]):
        query = layer_oracle(block.query[1], layer_oracle(block.query[0], sample[:, n]))
        rows.append(torch.stack([query.dot(key) / len(query) ** 0.5 for key in keys]).softmax(0))
    return torch.stack(rows), M, [layer_oracle(block.value, vector) for vector in f]


def oracle(block: ObjectAttention, x: Tensor, logits: Tensor) -> Tensor:
    """CBR([CBR(y) ; F])."""
    out = torch.zeros_like(x).flatten(2)
    for b, sample in enumerate(x.flatten(2)):
        A, _, values = weights_oracle(block, sample, logits[b].flatten(1))
        for n in range(sample.shape[1]):
            y = sum(A[n, k] * value for k, value in enumerate(values))
            out[b, :, n] = layer_oracle(block.fuse, torch.cat([layer_oracle(block.project, y), sample[:, n]]))
    return out.view_as(x)


def block_of(channels: int = 6, **options) -> ObjectAttention:
    torch.manual_seed(0)
    return awake(ObjectAttention(channels, **options))


def inputs(size=(5, 4), classes=K) -> tuple[Tensor, Tensor]:
    return torch.randn(2, 6, *size, dtype=torch.float64), torch.randn(2, classes, *size, dtype=torch.float64)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [(3, 5), (1, 1), (7, 2)])
def test_block_equals_the_equation(size, implementation):
    block, (x, logits) = block_of(implementation=implementation), inputs(size)
    with torch.no_grad():
        torch.testing.assert_close(block(x, logits), oracle(block, x, logits), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_order_of_the_classes_and_a_constant_added_to_one_change_nothing(implementation):
    block, (x, logits) = block_of(implementation=implementation), inputs()
    expected = block(x, logits)
    torch.testing.assert_close(block(x, logits[:, torch.randperm(K)]), expected, rtol=1e-9, atol=1e-9)
    shift = torch.tensor([3.0, -1.0, 0.0, 7.0], dtype=torch.float64).view(1, K, 1, 1)
    torch.testing.assert_close(block(x, logits + shift), expected, rtol=1e-9, atol=1e-9)


def test_a_constant_added_to_all_classes_of_a_position_changes_the_output():
    """It leaves the class probabilities: the softmax is over the positions."""
    block, (x, logits) = block_of(), inputs()
    changed = logits.clone()
    changed[:, :, 2, 2] += 5
    torch.testing.assert_close(changed.softmax(1), logits.softmax(1))
    assert not torch.allclose(block(x, changed), block(x, logits), rtol=1e-3)


def test_sure_predictions_make_the_vectors_means_of_the_classes():
    block, (x, _) = block_of(), inputs()
    labels = torch.arange(20).view(5, 4) % K
    logits = 1e4 * torch.nn.functional.one_hot(labels, K).permute(2, 0, 1).double().expand(2, -1, -1, -1)
    vectors = block.vectors(x, block.regions(logits))[..., 0]
    for k in range(K):
        torch.testing.assert_close(vectors[:, :, k], x[:, :, labels == k].mean(dim=2))


def test_maps_are_the_row_of_the_pixel_through_the_regions():
    block, (x, logits) = block_of().requires_grad_(False), inputs()
    maps = block.maps(x, logits, (3, 1))
    for b in range(2):
        A, M, _ = weights_oracle(block, x[b].flatten(1), logits[b].flatten(1))
        row = A[3 * 4 + 1]
        torch.testing.assert_close(maps["regions"][b, 0], row)
        torch.testing.assert_close(maps["affinity"][b].flatten(), row @ M)
        (strongest,) = (k for k in range(K) if torch.allclose(maps["region_1"][b].flatten(), M[k]))
        assert float(row[strongest]) == pytest.approx(float(row.max()))
    torch.testing.assert_close(maps["affinity"].sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))


def test_first_prediction_runs_once_and_learns_from_both_losses():
    torch.manual_seed(0)
    head = heads.create("ocr", (8, 8, 8, 8), 3, channels=8, dropout=0.0)
    calls = []
    head.context.prior.register_forward_hook(lambda *_: calls.append(1))
    features = [torch.randn(2, 8, 5, 5) for _ in range(4)]
    outputs = head(features)
    assert len(calls) == 1
    weight = head.context.prior.classify.conv.weight
    for name in ("out", "aux"):
        (gradient,) = torch.autograd.grad(outputs[name].square().sum(), weight, retain_graph=True)
        assert gradient.abs().sum() > 0
    assert list(head.eval()(features)) == ["out"]
    assert len(calls) == 2
