"""Non-Local against its equation, written with loops over positions."""

import math

import pytest
import torch
from torch import Tensor

from segattn.heads.non_local import Head, NonLocal

PAIRWISE = ["embedded_gaussian", "gaussian", "dot_product", "concatenation"]


def oracle(block: NonLocal, x: Tensor) -> Tensor:
    """z_i = x_i + BN(W sum_j f(x_i, x_j) g(x_j)), position by position."""
    B, _, H, W = x.shape

    def project(conv: torch.nn.Module, v: Tensor) -> Tensor:
        return v if isinstance(conv, torch.nn.Identity) else conv.weight[:, :, 0, 0] @ v + conv.bias

    z = torch.zeros_like(x)
    for b in range(B):
        features = [x[b, :, i // W, i % W] for i in range(H * W)]
        queries = [project(block.query, v) for v in features]
        keys = [project(block.key, v) for v in features]
        values = [project(block.value, v) for v in features]
        for i, q in enumerate(queries):
            if block.pairwise == "embedded_gaussian":
                f = torch.stack([q.dot(k) / math.sqrt(len(q)) for k in keys]).softmax(0)
            elif block.pairwise == "gaussian":
                f = torch.stack([q.dot(k) for k in keys]).softmax(0)
            elif block.pairwise == "dot_product":
                f = torch.stack([q.dot(k) for k in keys]) / len(keys)
            else:
                f = torch.stack([block.pair.weight[0].dot(torch.cat([q, k])).relu() for k in keys]) / len(keys)
            y = sum(f[j] * values[j] for j in range(len(values)))
            out = block.project.weight[:, :, 0, 0] @ y
            bn = block.bn
            out = (out - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
            z[b, :, i // W, i % W] = features[i] + out
    return z


@pytest.mark.parametrize("implementation", ["reference", "fast"])
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_block_equals_the_equation(pairwise, implementation):
    torch.manual_seed(0)
    block = NonLocal(6, pairwise=pairwise, implementation=implementation).double().eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(block.float()(x.float()).double(), oracle(block.double(), x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("implementation", ["reference", "fast"])
def test_gradients_are_those_of_the_equation(pairwise, implementation):
    torch.manual_seed(0)
    block = NonLocal(4, pairwise=pairwise, implementation=implementation).double().eval()
    torch.nn.init.ones_(block.bn.weight)
    torch.nn.init.normal_(block.project.weight)
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "gaussian"])
def test_rows_of_the_affinity_sum_to_one(pairwise):
    block = NonLocal(4, pairwise=pairwise)
    projected = 4 if pairwise == "gaussian" else 2
    weights = block.weights(torch.randn(2, 7, projected), torch.randn(2, 11, projected))
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 7))


def test_block_starts_as_the_identity():
    block = NonLocal(8)
    x = torch.randn(2, 8, 5, 7)
    assert torch.equal(block(x), x)


def test_map_of_a_pixel_is_its_row_of_the_affinity():
    torch.manual_seed(1)
    head = Head((3, 3, 3, 5), 2, channels=4).eval()
    for parameter in head.attention.parameters():
        torch.nn.init.normal_(parameter)
    features = [torch.randn(2, c, 3, 5) for c in (3, 3, 3, 5)]
    x = head.sandwich.before(features[-1])
    flat = lambda m: m.flatten(2).transpose(1, 2)  # noqa: E731
    rows = head.attention.weights(flat(head.attention.query(x)), flat(head.attention.key(x)))  # (B, N, N)
    maps = head.attention_maps(features, (1, 3))
    torch.testing.assert_close(maps["affinity"], rows[:, 1 * 5 + 3].unflatten(1, (3, 5)))


def test_unknown_pairwise_form_is_refused_by_name():
    with pytest.raises(ValueError, match=r"pairwise='gausian'.*embedded_gaussian"):
        NonLocal(4, pairwise="gausian")
