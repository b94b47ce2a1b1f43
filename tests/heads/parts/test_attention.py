"""The attention product in its fast forms."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from segattn.heads.parts import attention
from segattn.heads.parts.attention import affinity, attend, cut_off
from segattn.heads.parts.in_blocks import InBlocks

FORMS = {"in blocks": InBlocks.apply, "fused": attention._fused}
QUERIES, KEYS = InBlocks.BLOCK + 3, 29


class Products(TorchDispatchMode):
    """Notes of every matrix product whether a factor has numbers below the normal range."""

    def __init__(self, met: list[bool], tiny: float) -> None:
        super().__init__()
        self.met, self.tiny = met, tiny

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm_):
            self.met.append(any(bool(((x != 0) & (x.abs() < self.tiny)).any()) for x in args if torch.is_tensor(x)))
        return func(*args, **(kwargs or {}))


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
    actual = FORMS[form](query, key, value, 0.7)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    upstream = torch.randn_like(expected)
    gradients = torch.autograd.grad(actual, inputs, upstream)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, inputs, upstream), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("numbers", [1, 7 * KEYS])  # one row, and 7 rows at a time; the last part is shorter
def test_parts_of_a_block_change_no_bit(numbers, monkeypatch):
    inputs = sequences(5, 20)
    upstream = torch.randn(2, QUERIES, 20, dtype=torch.float64)

    def results() -> tuple[torch.Tensor, ...]:
        y = InBlocks.apply(*inputs, 0.7)
        return y, *torch.autograd.grad(y, inputs, upstream)

    whole = results()
    monkeypatch.setattr(InBlocks, "NUMBERS", numbers)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert len(list(InBlocks.parts(torch.empty(QUERIES, KEYS)))) == -(-QUERIES * KEYS // max(numbers, KEYS))
    for expected, actual in zip(whole, results(), strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("V", [5, 20])
def test_any_number_of_leading_dimensions(batch, V):
    inputs = sequences(5, V, batch=batch)
    written_out = attend(*inputs, scale=0.7, implementation="reference")
    for form in ("auto", "fast"):
        actual = attend(*inputs, scale=0.7, implementation=form)
        torch.testing.assert_close(actual, written_out, rtol=1e-9, atol=1e-9)


def test_logits_too_large_for_exp_alone_are_no_trouble():
    query, key, value = (1000 * x for x in sequences(5, 20))
    actual = attend(query, key, value, implementation="fast")
    assert actual.isfinite().all()
    written_out = attend(query, key, value, implementation="reference")
    torch.testing.assert_close(actual, written_out, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("V", [5, 20])
def test_no_map_of_weights_is_kept_for_the_backward_pass(V):
    kept: list[int] = []
    inputs = sequences(5, V)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        attend(*inputs, implementation="fast")
    assert max(kept) <= 2 * QUERIES * V
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        attend(*inputs, implementation="reference")
    assert max(kept) == 2 * QUERIES * KEYS


@pytest.mark.parametrize(
    ("dtype", "training", "most"),
    [
        (torch.float32, False, 1_250_000),
        (torch.float32, True, 2_000_000),
        (torch.bfloat16, True, 500_000),
        (torch.bfloat16, False, 0),
    ],
)
def test_auto_writes_out_only_so_many_weights(dtype, training, most, monkeypatch):
    def chosen(queries: int, implementation: str) -> str:
        query, key, value = (torch.ones(2, n, 1, dtype=dtype) for n in (queries, 125, 125))
        with torch.set_grad_enabled(training):
            return str(attend(query, key, value, implementation=implementation))

    monkeypatch.setattr(attention, "affinity", lambda query, key, scale, cut: query @ key.mT)
    monkeypatch.setattr(attention, "_fused", lambda query, key, value, scale: "fused")
    fitting = most // (2 * 125)
    assert chosen(fitting + 1, "auto") == "fused"
    for form in ("auto", "reference"):
        assert not most or chosen(fitting, form) != "fused"
    assert chosen(3, "fast") == "fused"


def test_keys_that_are_not_real_get_no_weight_and_a_row_without_any_stays_finite():
    query, key, _ = sequences(5, 5)
    real = torch.ones(2, KEYS, dtype=torch.bool)
    real[0, 3:] = False
    real[1] = False
    weights = affinity(query, key, real=real)
    assert weights[0, :, 3:].eq(0).all()
    torch.testing.assert_close(weights[0, :, :3], affinity(query[:1], key[:1, :3])[0])
    torch.testing.assert_close(weights[1], torch.full_like(weights[1], 1 / KEYS))


def test_a_second_derivative_is_refused_rather_than_wrong():
    inputs = sequences(5, 20)
    (first,) = torch.autograd.grad(attend(*inputs, implementation="fast").square().sum(), inputs[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("V", [5, 20])
def test_weights_far_below_float32_are_nothing_and_not_denormal(V):
    """Logits 100 below the highest: weights of 4e-44, which float32 has only with few digits and processors only slowly."""
    query, key = torch.ones(1, 3, 1), torch.tensor([[[0.0], [-100.0]]])
    value = torch.tensor([[[1.0] * V, [3.0] * V]])
    for form in ("auto", "fast"):
        torch.testing.assert_close(attend(query, key, value, implementation=form), torch.ones(1, 3, V))


def test_logits_cut_off_have_the_same_softmax_and_gradient_and_no_denormal_weight():
    logits = torch.tensor([[3.0, -20.0, -90.0, 3.0], [500.0, 401.0, -1e30, float("-inf")]], requires_grad=True)
    expected = logits.softmax(1)
    actual = cut_off(logits.clone()).softmax(1)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=2e-20)
    assert ((expected > 0) & (expected < torch.finfo(torch.float32).tiny)).any()
    assert ((actual == 0) | (actual > 1e-21)).all()
    upstream = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    gradients = [torch.autograd.grad(weights, logits, upstream)[0] for weights in (actual, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-18)


def test_forms_take_the_same_time_whatever_the_logits():
    """Nothing denormal reaches a product in either direction, with gradients as small as a mean over an image makes them."""
    torch.manual_seed(0)
    tiny = torch.finfo(torch.float32).tiny
    for V, queries, form in ((8, 64, "auto"), (16, 64, "auto"), (16, 64, "fast")):
        inputs = [torch.randn(1, queries, D).mul_(scale).requires_grad_() for D, scale in ((8, 9), (8, 9), (V, 1))]
        met: list[bool] = []
        with Products(met, tiny):
            y = attend(*inputs, implementation=form)
            torch.autograd.grad(y, inputs, torch.full_like(y, 1e-9))
        assert len(met) >= 5
        assert not any(met)
        met.clear()
        with Products(met, tiny):
            y = attend(*inputs, implementation="reference")
            torch.autograd.grad(y, inputs, torch.full_like(y, 1e-9))
        assert any(met)
