"""What heads share: the attention product in its fast forms, convolution of several maps."""

import pytest
import torch

from segattn.heads import _blocks
from segattn.heads._blocks import ConvBnRelu, InBlocks, attend, flushed

FORMS = {"in blocks": InBlocks.apply, "fused": _blocks._fused}
QUERIES, KEYS = InBlocks.BLOCK + 3, 29


def sequences(D: int, V: int, *, batch: tuple[int, ...] = (2,)) -> list[torch.Tensor]:
    torch.manual_seed(1)
    shapes = [(*batch, QUERIES, D), (*batch, KEYS, D), (*batch, KEYS, V)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("D", "V"), [(5, 5), (5, 20), (7, 3), (5, 512), (300, 512)])
def test_fast_forms_equal_the_written_out_product_forward_and_backward(form, D, V):
    inputs = sequences(D, V)
    query, key, value = inputs
    expected = (0.7 * query @ key.mT).softmax(-1) @ value
    found = FORMS[form](query, key, value, 0.7)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    upstream = torch.randn_like(expected)
    gradients = torch.autograd.grad(found, inputs, upstream)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, inputs, upstream), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("V", [5, 20])
def test_any_number_of_leading_dimensions(batch, V):
    inputs = sequences(5, V, batch=batch)
    torch.testing.assert_close(attend(*inputs, scale=0.7), attend(*inputs, scale=0.7, fast=False), rtol=1e-9, atol=1e-9)


def test_logits_too_large_for_exp_alone_are_no_trouble():
    query, key, value = (1000 * x for x in sequences(5, 20))
    found = attend(query, key, value)
    assert found.isfinite().all()
    torch.testing.assert_close(found, attend(query, key, value, fast=False), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("V", [5, 20])
def test_no_map_of_weights_is_kept_for_the_backward_pass(V):
    kept: list[int] = []
    inputs = sequences(5, V)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        attend(*inputs)
    assert max(kept) <= 2 * QUERIES * V
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        attend(*inputs, fast=False)
    assert max(kept) == 2 * QUERIES * KEYS


def test_a_second_derivative_is_refused_rather_than_wrong():
    inputs = sequences(5, 20)
    (first,) = torch.autograd.grad(attend(*inputs).square().sum(), inputs[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("size", [(5, 7), (41, 43)])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_several_maps_are_convolved_as_if_joined(kernel_size, size):
    torch.manual_seed(0)
    layer = ConvBnRelu(3 + 5 + 2, 7, kernel_size, stride=2).double()
    maps = [torch.randn(2, C, *size, dtype=torch.float64, requires_grad=True) for C in (3, 5, 2)]
    joined = layer(torch.cat(maps, dim=1))
    upstream = torch.randn_like(joined)
    inputs = [*maps, layer.conv.weight]
    expected = torch.autograd.grad(joined, inputs, upstream)
    for layer.implementation in ("auto", "reference"):
        assert layer.apart(maps) == (layer.implementation == "auto" and (size == (41, 43) or kernel_size == 1))
        found = layer(*maps)
        torch.testing.assert_close(found, joined)
        torch.testing.assert_close(torch.autograd.grad(found, inputs, upstream), expected)


@pytest.mark.parametrize("V", [5, 20])
def test_weights_far_below_float32_are_nothing_and_not_denormal(V):
    """Logits 100 below the highest: weights of 4e-44, which float32 has only with few digits and processors only slowly."""
    query, key = torch.ones(1, 3, 1), torch.tensor([[[0.0], [-100.0]]])
    value = torch.tensor([[[1.0] * V, [3.0] * V]])
    torch.testing.assert_close(attend(query, key, value), torch.ones(1, 3, V))
    weights = torch.tensor([1.0, 1e-29, 1e-31, 4e-44, 0.0])
    assert flushed(weights).tolist() == [*weights[:2].tolist(), 0, 0, 0]
