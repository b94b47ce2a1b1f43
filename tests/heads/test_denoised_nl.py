"""Denoised Non-Local against its equations, written with loops over positions."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from segattn.heads.denoised_nl import BLOCK, DenoisedContext, DenoisedNonLocal, Head, _retains_values

MODES = ["sigmoid", "affinity", "hard"]
FORMS = ["reference", "fast"]


def resized(logits: Tensor, h: int, w: int) -> Tensor:
    """Bilinear interpolation with aligned corners, point by point."""
    _, _, H, W = logits.shape
    out = logits.new_zeros(*logits.shape[:2], h, w)
    for r in range(h):
        for c in range(w):
            y, x = (r * (H - 1) / (h - 1) if h > 1 else 0), (c * (W - 1) / (w - 1) if w > 1 else 0)
            for i in range(H):
                for j in range(W):
                    out[..., r, c] += max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j)) * logits[..., i, j]
    return out


@torch.no_grad()
def oracle_maps(block: DenoisedNonLocal, x: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A, A' and A'' (B, n, n), entry by entry."""
    B, _, h, w = x.shape
    n = h * w
    p = resized(logits, h, w).exp()
    p = p / p.sum(1, keepdim=True)
    A, rectified, retained = (x.new_zeros(B, n, n) for _ in range(3))
    for b in range(B):
        points = [(i // w, i % w) for i in range(n)]
        q = [block.query.weight[:, :, 0, 0] @ x[b, :, r, c] for r, c in points]
        k = [block.key.weight[:, :, 0, 0] @ x[b, :, r, c] for r, c in points]
        for i in range(n):
            A[b, i] = torch.stack([q[i].dot(k[j]) for j in range(n)]).softmax(0)
            for j in range(n):
                pi, pj = p[b, :, points[i][0], points[i][1]], p[b, :, points[j][0], points[j][1]]
                g = {"sigmoid": pi.dot(pj).sigmoid(), "affinity": pi.dot(pj), "hard": float(pi.argmax() == pj.argmax())}
                rectified[b, i, j] = A[b, i, j] * {**g, "off": 1.0}[block.gr_mode]
        for i in range(n):
            for j, (r, c) in enumerate(points):
                for m, (r2, c2) in enumerate(points):
                    if max(abs(r - r2), abs(c - c2)) <= block.window // 2:
                        kept = q[j].dot(k[m]).sigmoid() if block.window else 1.0
                        retained[b, i, j] += rectified[b, i, m] * kept
    return A, rectified, retained


@torch.no_grad()
def oracle(block: DenoisedNonLocal, x: Tensor, logits: Tensor) -> Tensor:
    """z_i = gamma sum_j A''_ij v_j + x_i."""
    values = torch.einsum("dc,bchw->bdhw", block.value.weight[:, :, 0, 0], x).flatten(2)  # (B, C, n)
    retained = oracle_maps(block, x, logits)[2]
    y = torch.stack([sum(retained[:, i, j, None] * values[:, :, j] for j in range(values.shape[2]))
                     for i in range(values.shape[2])], dim=2)  # fmt: skip
    return x + block.gamma * y.unflatten(2, x.shape[-2:])


def random_block(channels: int, **options: str) -> DenoisedNonLocal:
    torch.manual_seed(0)
    block = DenoisedNonLocal(channels, **options).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block


def inputs(channels: int, classes: int, size=(3, 5), full=(5, 9)) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return (
        torch.randn(2, channels, *size, dtype=torch.float64),
        3 * torch.randn(2, classes, *full, dtype=torch.float64),
    )


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("gr_mode", MODES)
def test_block_equals_the_equation(gr_mode, implementation):
    block = random_block(11, gr_mode=gr_mode, implementation=implementation)
    x, logits = inputs(11, 3)
    expected = oracle(block, x, logits)
    torch.testing.assert_close(block(x, logits), expected, rtol=1e-9, atol=1e-9)
    single = block.float()(x.float(), logits.float()).double()
    torch.testing.assert_close(single, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("options", [{"gr_mode": "off"}, {"window": 0}, {"window": 5}, {"gr_mode": "off", "window": 0}])
def test_ablations_equal_the_equation_without_a_step_or_with_another_window(options, implementation):
    block = random_block(5, implementation=implementation, **options)
    x, logits = inputs(5, 2)
    torch.testing.assert_close(block(x, logits), oracle(block, x, logits), rtol=1e-9, atol=1e-9)
    affinity, rectified, retained = (
        block.maps(x, logits, (2, 4))[name] for name in ("affinity", "rectified", "retained")
    )
    assert torch.equal(affinity, rectified) == (options.get("gr_mode") == "off")
    assert torch.equal(rectified, retained) == (options.get("window") == 0)


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match=r"window=2 is not known; use one of 0, 3, 5, 7"):
        DenoisedNonLocal(8, window=2)


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 1)])
def test_maps_thinner_than_the_window_work(size, implementation):
    block = random_block(5, implementation=implementation)
    x, logits = inputs(5, 2, size=size, full=size)
    torch.testing.assert_close(block(x, logits), oracle(block, x, logits), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("gr_mode", ["sigmoid", "affinity"])
def test_gradients_are_those_of_the_equation(gr_mode, implementation):
    block = random_block(3, gr_mode=gr_mode, implementation=implementation)
    x, logits = inputs(3, 2, size=(2, 3), full=(3, 5))
    assert torch.autograd.gradcheck(block, (x.requires_grad_(), logits.requires_grad_()))


@pytest.mark.parametrize("gr_mode", MODES)
def test_retention_of_the_values_equals_retention_of_the_map_backward_too(gr_mode):
    grads = []
    for implementation in FORMS:
        block = random_block(11, gr_mode=gr_mode, implementation=implementation)
        x, logits = inputs(11, 3, size=(5, 7))
        y = block(x.requires_grad_(), logits.requires_grad_())
        leaves = [x, *block.parameters()] + ([logits] if gr_mode != "hard" else [])
        grads.append((y, *torch.autograd.grad(y.sin().sum(), leaves)))
    for reference, fast in zip(*grads, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gr_mode", MODES)
def test_blocks_of_queries_equal_the_whole_map(gr_mode):
    fast, reference = (random_block(11, gr_mode=gr_mode, implementation=form) for form in ("fast", "reference"))
    x, logits = inputs(11, 3, size=(23, 29))
    assert BLOCK < 23 * 29
    with torch.no_grad():
        torch.testing.assert_close(fast(x, logits), reference(x, logits), rtol=1e-10, atol=1e-10)


def test_auto_moves_the_retention_to_the_values_where_they_are_fewer():
    """C channels a position, or n weights."""
    x = torch.randn(1, 8, 2, 5)
    assert [_retains_values(DenoisedNonLocal(8), x[..., :width]) for width in (4, 5)] == [False, True]
    for form, always in (("reference", False), ("fast", True)):
        block = DenoisedNonLocal(8, implementation=form)
        assert [_retains_values(block, x[..., :width]) for width in (4, 5)] == [always, always]


def test_block_starts_as_the_identity():
    block = DenoisedNonLocal(16)
    x = torch.randn(2, 16, 5, 7)
    assert torch.equal(block(x, torch.randn(2, 3, 9, 13)), x)


def test_rectifying_factors_range_as_documented():
    certain = torch.eye(3)[None]  # three positions, each surely of its own class
    sigmoid_of_one = 1 / (1 + math.exp(-1))
    same, other = {"sigmoid": (sigmoid_of_one, 0.5), "affinity": (1.0, 0.0), "hard": (1.0, 0.0)}, torch.eye(3) == 0
    for mode, (equal, different) in same.items():
        g = DenoisedNonLocal(8, gr_mode=mode).rectifying(certain, certain)[0]
        torch.testing.assert_close(g[~other], torch.full((3,), equal))
        torch.testing.assert_close(g[other], torch.full((6,), different))


def test_samples_do_not_mix():
    block = random_block(11)
    x, logits = inputs(11, 3)
    both = block(x, logits)
    for b in range(2):
        torch.testing.assert_close(both[b : b + 1], block(x[b : b + 1], logits[b : b + 1]), rtol=1e-12, atol=1e-12)


def test_maps_of_a_pixel_are_its_rows_of_the_three_maps():
    torch.manual_seed(3)
    head = Head((3, 5, 7, 11), 3, channels=8).double().eval()
    features = [torch.randn(2, c, 5, 9, dtype=torch.float64) for c in (3, 5, 7, 11)]
    half, logits = head.context.inputs(head.sandwich.before(features[-1]), features[2])
    assert half.shape[-2:] == (3, 5)
    A, rectified, retained = oracle_maps(head.attention, half, logits)
    maps = head.attention_maps(features, (3, 8))  # on the half grid (1, 4), position 1 * 5 + 4
    for name, expected in {"affinity": A, "rectified": rectified, "retained": retained}.items():
        torch.testing.assert_close(maps[name], expected[:, 9].unflatten(1, (3, 5)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [(97, 97), (7, 5), (8, 6), (1, 1), (2, 3)])
def test_head_serves_odd_grids_and_returns_its_auxiliary_logits_in_training(size):
    head = Head((3, 5, 7, 11), 3, channels=8)
    features = [torch.randn(2, c, *size) for c in (3, 5, 7, 11)]
    outputs = head(features)
    assert list(outputs) == ["out", "aux1", "aux2"]
    assert all(logits.shape == (2, 3, *size) for logits in outputs.values())
    assert list(head.eval()(features)) == ["out"]


def test_rectifying_classes_learn_from_the_main_output_too():
    head = Head((3, 5, 7, 11), 3, channels=8)
    torch.nn.init.ones_(head.attention.gamma)
    head([torch.randn(2, c, 5, 9) for c in (3, 5, 7, 11)])["out"].square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for name, p in head.context.prior.named_parameters() if name.endswith("weight"))


def test_controlled_form_brings_its_own_class_logits():
    context = DenoisedContext(8, 3, gr_mode="affinity")
    assert isinstance(context, DenoisedContext)
    outputs = context(torch.randn(2, 8, 5, 9))
    assert outputs["context"].shape == (2, 8, 5, 9)
    assert outputs["prior"].shape == (2, 3, 5, 9)
    assert context.loss_weights == {"prior": 0.4}


def macs(n: int, C: int, D: int, K: int) -> int:
    """The docstring's closed form."""
    return n * C * (2 * D + C) + n**2 * (D + C + K + 9) + 9 * n * D


@pytest.mark.parametrize(
    ("grid", "classes", "gigaflops"), [(64, 150, "2.215"), (65, 150, "2.460"), (96, 19, "7.928"), (97, 19, "8.543")]
)
def test_cost_equals_the_closed_form_and_the_table(grid, classes, gigaflops):
    with torch.device("meta"):
        block, half = DenoisedNonLocal(512, implementation="reference"), math.ceil(grid / 2)
        with FlopCounterMode(display=False) as counter:
            block(torch.empty(1, 512, half, half), torch.empty(1, classes, grid, grid))
    n = half * half
    assert counter.get_total_flops() == 2 * macs(n, 512, 64, classes)
    bias_terms = 2 * n * (64 + 64 + 512)  # the study's formula counts a bias in every convolution
    assert f"{(counter.get_total_flops() + bias_terms) / 1e9:.3f}" == gigaflops


def test_unknown_rectifying_mode_is_refused_by_name():
    with pytest.raises(ValueError, match=r"gr_mode='hrad'.*'hard'"):
        DenoisedNonLocal(8, gr_mode="hrad")
