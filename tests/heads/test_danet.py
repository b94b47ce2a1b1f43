"""DANet's two attentions against their equations, written with loops over positions and channels."""

import copy

import pytest
import torch
from torch import Tensor

from segattn.heads import create
from segattn.heads.danet import ChannelAttention, DualAttention, Head, PositionAttention

IMPLEMENTATIONS = ["reference", "fast"]


def position_oracle(block: PositionAttention, x: Tensor) -> Tensor:
    """p'_i = p_i + gamma sum_j softmax_j(q_i . k_j) v_j, position by position."""

    def project(conv: torch.nn.Conv2d, v: Tensor) -> Tensor:
        return conv.weight[:, :, 0, 0] @ v + conv.bias

    out = torch.zeros_like(x)
    H, W = x.shape[-2:]
    for b in range(len(x)):
        features = [x[b, :, i // W, i % W] for i in range(H * W)]
        keys = [project(block.key, p) for p in features]
        values = [project(block.value, p) for p in features]
        for i, p in enumerate(features):
            weights = torch.stack([project(block.query, p).dot(k) for k in keys]).softmax(0)
            out[b, :, i // W, i % W] = p + block.gamma * sum(w * v for w, v in zip(weights, values, strict=True))
    return out


def channel_oracle(beta: Tensor, x: Tensor, sign: str) -> Tensor:
    """c'_a = c_a + beta sum_b softmax_b(max_b E_ab - E_ab) c_b as the authors' code has it, or softmax_b(E_ab) as the paper."""
    out = torch.zeros_like(x)
    for b in range(len(x)):
        for a, channel in enumerate(x[b]):
            energy = torch.stack([(channel * other).sum() for other in x[b]])
            weights = (energy.max() - energy if sign == "negative" else energy).softmax(0)
            out[b, a] = channel + beta * sum(w * other for w, other in zip(weights, x[b], strict=True))
    return out


def randomise(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_position_attention_equals_the_equation(implementation):
    block = randomise(PositionAttention(6, implementation=implementation)).double()
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    expected = position_oracle(block, x)
    torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sign", ["negative", "positive"])
def test_channel_attention_equals_the_equation(sign):
    block = randomise(ChannelAttention(cam_sign=sign)).double()
    x = torch.randn(2, 7, 3, 5, dtype=torch.float64)
    expected = channel_oracle(block.beta, x, sign)
    torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


def test_equal_channels_weigh_least_by_default_and_most_with_the_papers_sign():
    x = torch.eye(3).unsqueeze(0)  # three orthogonal channels: E = 1 on the diagonal, 0 elsewhere
    e = torch.e
    negative = ChannelAttention().weights(x, x)[0]
    positive = ChannelAttention(cam_sign="positive").weights(x, x)[0]
    torch.testing.assert_close(negative.diag(), torch.full((3,), (1 / e) / (2 + 1 / e)))
    torch.testing.assert_close(positive.diag(), torch.full((3,), e / (2 + e)))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sign", ["negative", "positive"])
def test_gradients_are_those_of_the_equation(implementation, sign):
    block = randomise(DualAttention(3, cam_sign=sign, implementation=implementation)).double()
    p, q = (torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(block, (p, q))


def test_bfloat16_fused_form_is_as_close_to_the_truth_as_the_reference():
    fast, reference = (randomise(PositionAttention(16, implementation=form)) for form in ("fast", "reference"))
    x = torch.randn(2, 16, 5, 7)
    truth = reference(x)
    actual, expected = (block.bfloat16()(x.bfloat16()).float() for block in (fast, reference))
    assert (actual - truth).abs().mean() < 1.5 * (expected - truth).abs().mean()


def test_both_attentions_start_as_the_identity():
    p, q = torch.randn(2, 8, 5, 7), torch.randn(2, 8, 5, 7)
    position, channel = DualAttention(8)(p, q)
    assert torch.equal(position, p)
    assert torch.equal(channel, q)


def test_huge_features_stay_finite_under_half_precision():
    block = randomise(DualAttention(8))
    x = torch.full((1, 8, 17, 19), 200.0)  # E = 323 * 200**2, far beyond fp16's 65504
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype):
            assert all(map.isfinite().all() for map in block(x, x))


def test_samples_do_not_mix():
    block = randomise(DualAttention(8))
    p, q = torch.randn(2, 8, 5, 7), torch.randn(2, 8, 5, 7)
    alone = block(p[1:], q[1:])
    together = block(p, q)
    for one, both in zip(alone, together, strict=True):
        torch.testing.assert_close(one, both[1:])


def test_controlled_form_adds_what_both_attentions_add():
    head = create("danet", (3, 3, 3, 5), 2, mode="controlled", channels=8)
    dual = randomise(head.attention)
    x = torch.randn(2, 8, 3, 5)
    position, channel = dual(x, x)
    torch.testing.assert_close(head.attention(x), x + (position - x) + (channel - x))


def test_controlled_checkpoints_of_version_0_1_0_load():
    """There both attentions lay one module deeper: `attention.dual.position.gamma`."""
    head, other = (create("danet", (3, 3, 3, 5), 2, mode="controlled", channels=8) for _ in range(2))
    randomise(head)
    old = {name.replace("attention.", "attention.dual."): value for name, value in head.state_dict().items()}
    assert "attention.dual.position.gamma" in old
    kept = dict(old)
    copy.deepcopy(other).load_state_dict(old)
    assert old.keys() == kept.keys()  # the caller's dict is left alone
    other.load_state_dict(old)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in head.state_dict().items())


def test_three_outputs_in_training_and_one_in_evaluation():
    head = Head((3, 3, 3, 5), 2, channels=8)
    features = [torch.randn(2, c, 3, 7) for c in (3, 3, 3, 5)]
    outputs = head.train()(features)
    assert list(outputs) == list(Head.loss_weights) == ["out", "position", "channel"]
    assert {tuple(map.shape) for map in outputs.values()} == {(2, 2, 3, 7)}
    assert list(head.eval()(features)) == ["out"]


def test_branches_are_classified_by_their_own_classifiers():
    head = Head((3, 3, 3, 5), 2, channels=8, dropout=0.0)
    features = [torch.randn(2, c, 3, 7) for c in (3, 3, 3, 5)]
    for name in ("position", "channel"):
        head.zero_grad()
        head(features)[name].sum().backward()
        touched = {key.split(".")[0] for key, p in head.named_parameters() if p.grad is not None and p.grad.any()}
        assert f"classify_{name}" in touched
        assert touched.isdisjoint({"classify", "classify_channel" if name == "position" else "classify_position"})


def test_maps_of_a_pixel_are_its_row_and_its_strongest_channel():
    head = Head((3, 3, 3, 5), 2, channels=8).eval()
    randomise(head.attention)
    features = [torch.randn(2, c, 3, 5) for c in (3, 3, 3, 5)]
    maps = head.attention_maps(features, (1, 3))
    p, q = head.position_in(features[-1]), head.channel_in(features[-1])
    flat = lambda m: m.flatten(2).transpose(1, 2)  # noqa: E731
    block = head.attention.position
    rows = (flat(block.query(p)) @ flat(block.key(p)).transpose(1, 2)).softmax(2)  # (B, N, N)
    torch.testing.assert_close(maps["position"], rows[:, 1 * 5 + 3].unflatten(1, (3, 5)))
    gathered = channel_oracle(torch.ones(()), q, "negative") - q
    for b in range(2):
        torch.testing.assert_close(maps["channel"][b], gathered[b, q[b, :, 1, 3].argmax()])


def test_channel_affinities_are_those_that_gather_every_channel():
    head = Head((3, 3, 3, 5), 2, channels=8).eval()
    features = [torch.randn(2, c, 3, 5) for c in (3, 3, 3, 5)]
    q = head.channel_in(features[-1])
    weights = head.attention_maps(features, (1, 3))["channel_affinity"]
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 8))
    gathered = torch.einsum("bcd,bdhw->bchw", weights, q)
    torch.testing.assert_close(gathered, channel_oracle(torch.ones(()), q, "negative") - q)


def test_unknown_sign_is_refused_by_name():
    with pytest.raises(ValueError, match=r"cam_sign='minus'.*'negative', 'positive'"):
        create("danet", (3, 3, 3, 5), 2, cam_sign="minus")


def test_channel_affinities_of_large_maps_have_no_denormal_numbers():
    """Energies are sums over positions: thousands apart, and a product with denormal weights takes fifty times as long."""
    torch.manual_seed(0)
    fast, reference = ChannelAttention(), ChannelAttention(implementation="reference")
    for block in (fast, reference):
        torch.nn.init.constant_(block.beta, 0.7)
    x = torch.randn(1, 64, 41, 43).relu_().requires_grad_()
    channels = x.flatten(2)
    tiny = torch.finfo(torch.float32).tiny
    weights = fast.weights(channels, channels)
    assert ((reference.weights(channels, channels) < tiny) & (reference.weights(channels, channels) > 0)).any()
    assert ((weights == 0) | (weights >= tiny)).all()
    torch.testing.assert_close(fast(x), reference(x))
    torch.testing.assert_close(
        torch.autograd.grad(fast(x).square().mean(), x), torch.autograd.grad(reference(x).square().mean(), x)
    )
