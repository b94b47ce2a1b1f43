"""CCNet against its equation, written with loops over positions, and its reach by Jacobian."""

import pytest
import torch
from torch import Tensor

from segattn import heads
from segattn.heads.ccnet import CrissCross, Head, _weights

IMPLEMENTATIONS = ["reference", "fast"]


def cross(pixel: tuple[int, int], H: int, W: int) -> list[tuple[int, int]]:
    """The H + W - 1 positions of a pixel's column and row."""
    return [(i, j) for i in range(H) for j in range(W) if i == pixel[0] or j == pixel[1]]


def project(conv: torch.nn.Module, x: Tensor) -> Tensor:
    """A 1x1 convolution of one position's vector."""
    return conv.weight[:, :, 0, 0] @ x + conv.bias


def rows(block: CrissCross, x: Tensor) -> Tensor:
    """The attention of one map (C, H, W) as an (H, W, H, W) tensor, zero off the cross."""
    _, H, W = x.shape
    full = torch.zeros(H, W, H, W, dtype=x.dtype)
    for y in range(H):
        for z in range(W):
            q = project(block.query, x[:, y, z])
            reached = cross((y, z), H, W)
            a = torch.stack([q.dot(project(block.key, x[:, i, j])) for i, j in reached]).softmax(0)
            for weight, (i, j) in zip(a, reached, strict=True):
                full[y, z, i, j] = weight
    return full


def oracle(block: CrissCross, x: Tensor) -> Tensor:
    """F_u + gamma sum over the cross of a_uv g(F_v), R times."""
    out = []
    for sample in x:
        for _ in range(block.recurrence):
            a, (_, H, W) = rows(block, sample), sample.shape
            new = sample.clone()
            for y in range(H):
                for z in range(W):
                    for i, j in cross((y, z), H, W):
                        new[:, y, z] += block.gamma * a[y, z, i, j] * project(block.value, sample[:, i, j])
            sample = new
        out.append(sample)
    return torch.stack(out)


def random_block(channels: int, **options: object) -> CrissCross:
    torch.manual_seed(0)
    block = CrissCross(channels, **options).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    torch.nn.init.constant_(block.gamma, 0.6)
    return block


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("recurrence", [1, 2, 3])
@pytest.mark.parametrize("size", [(3, 5), (5, 2), (1, 7), (7, 1), (1, 1)])
def test_block_equals_the_equation(size, recurrence, implementation):
    block = random_block(5, recurrence=recurrence, reduction=2, implementation=implementation)
    x = torch.randn(2, 5, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = oracle(block, x)
        torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [(2, 3), (1, 2), (3, 1)])
def test_gradients_are_those_of_the_equation(size, implementation):
    block = random_block(3, reduction=1, implementation=implementation)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


def test_fast_and_reference_have_the_same_gradients():
    results = []
    for implementation in IMPLEMENTATIONS:
        block = random_block(7, implementation=implementation)
        x = torch.linspace(-2, 2, 2 * 7 * 5 * 11, dtype=torch.float64).sin().reshape(2, 7, 5, 11).requires_grad_()
        block(x).square().sum().backward()
        results.append([x.grad, *(p.grad for p in block.parameters())])
    for reference, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("recurrence", "reach"), [(1, "cross"), (2, "everything")])
def test_first_recurrence_reaches_the_cross_and_the_second_every_pixel(recurrence, reach, implementation):
    block = random_block(3, recurrence=recurrence, reduction=1, implementation=implementation)
    H, W, pixel = 5, 7, (3, 2)
    x = torch.randn(1, 3, H, W, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: block(v)[0, :, pixel[0], pixel[1]], x)  # (3, 1, 3, H, W)
    touched = jacobian.abs().sum((0, 1, 2)) > 0
    expected = torch.ones(H, W, dtype=torch.bool) if reach == "everything" else torch.zeros(H, W, dtype=torch.bool)
    for position in cross(pixel, H, W):
        expected[position] = True
    assert torch.equal(touched, expected)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(1, 5), (5, 1), (1, 1), (3, 2)])
def test_weights_sum_to_one_and_meet_the_pixel_once(size, dtype, fast):
    torch.manual_seed(0)
    query, key = (100 * torch.randn(2, 3, *size, dtype=dtype) for _ in range(2))  # logits about 1e4
    column, row = _weights(query, key) if fast else CrissCross(3).weights(query, key)
    torch.testing.assert_close(column.sum(3) + row.sum(3), torch.ones_like(row[..., 0]))
    assert torch.diagonal(column, dim1=1, dim2=3).eq(0).all()


def test_block_starts_as_the_identity():
    x = torch.randn(2, 16, 5, 7)
    assert torch.equal(CrissCross(16)(x), x)
    assert torch.equal(CrissCross(16, implementation="reference")(x), x)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_samples_do_not_mix(implementation):
    block = random_block(5, implementation=implementation)
    x = torch.randn(3, 5, 5, 3, dtype=torch.float64)
    alone = torch.cat([block(sample[None]) for sample in x])
    torch.testing.assert_close(block(x), alone, rtol=1e-12, atol=1e-12)


def test_maps_of_a_pixel_are_its_cross_and_the_product_of_both_recurrences():
    head = Head((3, 3, 3, 5), 2, channels=8).double().eval()
    head.attention.load_state_dict(random_block(8).state_dict())
    features = [torch.randn(2, c, 3, 5, dtype=torch.float64) for c in (3, 3, 3, 5)]
    with torch.no_grad():
        maps = head.attention_maps(features, (1, 3))
        x = head.sandwich.before(features[-1])
        once = random_block(8, recurrence=1)
        for b in range(2):
            first, second = rows(once, x[b]), rows(once, oracle(once, x[b, None])[0])  # each (H, W, H, W)
            torch.testing.assert_close(maps["cross"][b], first[1, 3])
            composed = torch.einsum("hw,hwij->ij", second[1, 3], first)
            torch.testing.assert_close(maps["composed"][b], composed)
    assert maps["composed"].gt(0).all()


def giga_flops(block: CrissCross, size: int) -> float:
    """Giga-FLOPs at size x size as torch counts them, plus one multiply-add per output of a convolution."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        block.to("meta")(torch.empty(1, 512, size, size, device="meta"))
    outputs = sum(conv.out_channels for conv in (block.query, block.key, block.value))
    return (counter.get_total_flops() + 2 * block.recurrence * size * size * outputs) / 1e9


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("recurrence", "expected"), [(1, [3.294, 3.407, 8.090, 8.281]), (2, [6.587, 6.814, 16.180, 16.562])]
)
def test_cost_is_that_of_the_published_closed_form(recurrence, expected, implementation):
    block = CrissCross(512, recurrence=recurrence, implementation=implementation)
    assert [round(giga_flops(block, size), 3) for size in (64, 65, 96, 97)] == expected


def test_controlled_form_is_the_same_block_with_the_options_given():
    head = heads.create("ccnet", (3, 3, 3, 5), 2, mode="controlled", channels=8, recurrence=3, reduction=2)
    assert isinstance(head.attention, CrissCross)
    assert head.attention.recurrence == 3
    assert head.attention.query.out_channels == 4


@pytest.mark.parametrize("name", ["recurrence", "reduction"])
@pytest.mark.parametrize("value", [0, -2, 1.5, True])
def test_a_count_that_is_no_whole_number_of_one_or_more_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value} is not possible; use 1 or more"):
        CrissCross(8, **{name: value})


def test_inference_adds_the_columns_in_place():
    torch.manual_seed(0)
    fast, reference = (CrissCross(16, implementation=form).double() for form in ("fast", "reference"))
    fast.load_state_dict(reference.state_dict())
    for block in (fast, reference):
        torch.nn.init.constant_(block.gamma, 0.7)
    x = torch.randn(3, 16, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), reference(x), rtol=1e-10, atol=1e-10)
