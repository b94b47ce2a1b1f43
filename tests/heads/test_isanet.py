"""ISANet against its equation, written with loops over positions."""

import math

import pytest
import torch
from torch import Tensor

from segattn.heads import create
from segattn.heads.isanet import GroupAttention, Head, InterlacedAttention, _real

IMPLEMENTATIONS = ["reference", "fast"]
SIZES = [(3, 5), (7, 4), (1, 1), (4, 6), (2, 9)]  # with blocks of 2 x 3: padded or not, on one side or both


def attention_oracle(unit: GroupAttention, features: dict, keys_of: dict) -> dict:
    """u_i = W sum_{j in keys_of[i]} softmax_j(q_i . k_j / sqrt(D)) v_j for a dict of positions."""

    def conv(layer: torch.nn.Module, v: Tensor) -> Tensor:  # 1x1 convolution, batch norm, ReLU
        y, bn = layer.conv.weight[:, :, 0, 0] @ v, layer.bn
        return ((y - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias).relu()

    query = {i: conv(unit.query[1], conv(unit.query[0], v)) for i, v in features.items()}
    key = {i: conv(unit.key[1], conv(unit.key[0], v)) for i, v in features.items()}
    value = {i: unit.value.weight[:, :, 0, 0] @ v + unit.value.bias for i, v in features.items()}
    out = {}
    for i, q in query.items():
        weights = torch.stack([q.dot(key[j]) / math.sqrt(len(q)) for j in keys_of[i]]).softmax(0)
        out[i] = conv(unit.project, sum(w * value[j] for w, j in zip(weights, keys_of[i], strict=True)))
    return out


def oracle(block: InterlacedAttention, x: Tensor) -> Tensor:
    """Long range, then short range, on a dict of the padded map's positions relative to the map's corner."""
    C, H, W = x.shape[1:]
    Ph, Pw = block.partition
    more = (math.ceil(H / Ph) * Ph - H, math.ceil(W / Pw) * Pw - W)
    top, left = more[0] // 2, more[1] // 2
    places = [(r, c) for r in range(-top, H + more[0] - top) for c in range(-left, W + more[1] - left)]
    inside = [(r, c) for r, c in places if 0 <= r < H and 0 <= c < W]
    candidates = inside if block.mask_padding else places
    long, short = {}, {}
    for r, c in places:
        same_offset = [(a, b) for a, b in candidates if (a - r) % Ph == 0 and (b - c) % Pw == 0]
        same_block = [
            (a, b) for a, b in candidates if (a + top) // Ph == (r + top) // Ph and (b + left) // Pw == (c + left) // Pw
        ]
        long[r, c], short[r, c] = same_offset or [(r, c)], same_block or [(r, c)]
    out = torch.zeros_like(x)
    for b in range(len(x)):
        features = {(r, c): x[b, :, r, c] if (r, c) in inside else x.new_zeros(C) for r, c in places}
        result = attention_oracle(block.short, attention_oracle(block.long, features, long), short)
        for r, c in inside:
            out[b, :, r, c] = result[r, c]
    return out


def randomised(channels: int, **options) -> InterlacedAttention:
    torch.manual_seed(0)
    block = InterlacedAttention(channels, **options).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return block


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_attention_equals_the_equation(size, mask_padding, implementation):
    block = randomised(6, partition=(2, 3), mask_padding=mask_padding, implementation=implementation).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    expected = oracle(block, x)
    torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mask_padding", [False, True])
def test_fast_form_equals_the_reference_forward_and_backward(mask_padding, training):
    options = {"partition": (2, 3), "mask_padding": mask_padding}
    x, upstream = torch.randn(2, 6, 5, 7, dtype=torch.float64), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    results = []
    for implementation in IMPLEMENTATIONS:
        block = randomised(6, **options, implementation=implementation).double().train(training)
        inputs = [x.clone().requires_grad_(), *block.parameters()]
        y = block(inputs[0])
        results.append([y, *torch.autograd.grad((y * upstream).sum(), inputs)])
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("mask_padding", [False, True])
def test_gradients_are_those_of_the_equation(mask_padding, implementation):
    block = randomised(4, partition=(2, 2), mask_padding=mask_padding, implementation=implementation).double()
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


def test_every_output_depends_on_every_input():
    block = randomised(4, partition=(3, 2)).double()
    x = torch.randn(1, 4, 7, 5, dtype=torch.float64)  # no multiple of the partition
    jacobian = torch.autograd.functional.jacobian(lambda v: block(v).sum(dim=1), x)  # (1, 7, 5, 1, 4, 7, 5)
    assert (jacobian.abs().amax(dim=(0, 3, 4)) > 0).all()


def test_long_range_alone_reaches_only_positions_a_partition_apart():
    block = randomised(4, partition=(3, 2)).double()
    x = torch.randn(1, 4, 6, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: block.attend_long(v, None).flatten(4).flatten(2, 3).sum(dim=1), x
    )
    reached = jacobian.abs().amax(dim=(0, 3, 4))[1, 1] > 0  # by position (1, 1)
    expected = torch.zeros(6, 4, dtype=torch.bool)
    expected[1::3, 1::2] = True
    assert torch.equal(reached, expected)


def test_masked_padding_has_no_influence():
    torch.manual_seed(1)
    block = randomised(6, partition=(8, 8), mask_padding=True)
    x = torch.randn(2, 6, 5, 7)
    whole = block(x)
    block.pad = lambda v, pad=block.pad: pad(v) + 3.0 * (pad(torch.ones_like(v)) == 0) * (v.shape[1] > 1)  # type: ignore
    torch.testing.assert_close(block(x), whole)


def test_samples_do_not_mix():
    block = randomised(8)
    x = torch.randn(2, 8, 5, 11)
    torch.testing.assert_close(block(x)[1:], block(x[1:]))


@pytest.mark.parametrize("mask_padding", [False, True])
def test_half_precision_stays_finite_with_a_group_of_padding_only(mask_padding):
    block = randomised(8, mask_padding=mask_padding)
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype):
            assert block(torch.full((1, 8, 1, 9), 100.0)).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("mask_padding", [False, True])
def test_one_exported_graph_serves_maps_of_one_block_and_of_many(mask_padding):
    block = randomised(8, mask_padding=mask_padding)
    height, width = (torch.export.Dim(side, min=2, max=64) for side in ("height", "width"))
    graph = torch.export.export(block, (torch.randn(2, 8, 9, 11),), dynamic_shapes=({2: height, 3: width},)).module()
    for size in [(3, 5), (8, 8), (17, 6), (24, 31)]:
        x = torch.randn(2, 8, *size)
        torch.testing.assert_close(graph(x), block(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "gflops"), [(64, 15.871), (65, 20.222), (96, 36.843), (97, 43.654)])
def test_counted_products_match_the_ledger(size, gflops):
    from torch.utils.flop_counter import FlopCounterMode

    block = InterlacedAttention(512, implementation="reference").to("meta").eval()
    convolved = sum(m.out_channels for m in block.modules() if isinstance(m, torch.nn.Conv2d))
    padded = math.ceil(size / 8) * 8
    with FlopCounterMode(display=False) as counter:
        block(torch.empty(1, 512, size, size, device="meta"))
    total = counter.get_total_flops() + 2 * padded**2 * convolved  # the study convention's "+ 1" per output
    assert round(total / 1e9, 3) == gflops


@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("pixel", [(0, 0), (4, 6), (2, 3)])
def test_composed_map_is_the_pixels_share_in_every_position(pixel, mask_padding):
    """Each position's long-range value is replaced by its index, and what arrives at the pixel is counted."""
    block = randomised(6, partition=(2, 3), mask_padding=mask_padding).double()
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    maps = block.maps(x, pixel)

    def weights(unit: GroupAttention, groups: Tensor, real: Tensor | None) -> Tensor:
        flat = lambda m: m.flatten(2).transpose(1, 2)  # noqa: E731
        return unit.weights(flat(unit.query(groups)), flat(unit.key(groups)), real)

    long_real, short_real = _real(block, x)
    long = weights(block.long, block.long_groups(block.pad(x)), long_real)  # (B*6, 9, 9): 3 x 3 blocks
    short = weights(block.short, block.short_groups(block.attend_long(x, long_real)), short_real)  # (B*9, 6, 6)
    for name, first, second in [
        ("composed", long, short),
        ("short", torch.eye(9), short),
        ("long", long, torch.eye(6)),
    ]:
        for row in range(5):
            for column in range(7):
                mark = torch.zeros(2, 1, 5, 7, dtype=torch.float64)
                mark[:, :, row, column] = 1.0
                groups = block.long_groups(block.pad(mark))  # (B*6, 1, 3, 3)
                passed = first.to(groups) @ groups.flatten(1).unsqueeze(2)  # (B*6, 9, 1)
                passed = passed.view(2, 2, 3, 1, 3, 3).permute(0, 3, 4, 1, 5, 2)  # blocks: (B, 1, Qh, Ph, Qw, Pw)
                groups = block.short_groups(passed)  # (B*9, 1, 2, 3)
                passed = second.to(groups) @ groups.flatten(1).unsqueeze(2)  # (B*9, 6, 1)
                arrived = passed.view(2, 3, 3, 2, 3).permute(0, 1, 3, 2, 4).reshape(2, 6, 9)
                expected = arrived[:, pixel[0] + 0, pixel[1] + 1]  # one row below, one column on each side are padding
                torch.testing.assert_close(maps[name][:, row, column], expected)


def test_maps_sum_to_one_where_nothing_is_padding():
    maps = randomised(8, partition=(2, 3)).maps(torch.randn(2, 8, 4, 9), (3, 5))
    for name in ("long", "short", "composed"):
        torch.testing.assert_close(maps[name].sum(dim=(1, 2)), torch.ones(2))


def test_head_maps_are_those_of_its_attention():
    head = Head((3, 3, 3, 5), 2, channels=8).eval()
    features = [torch.randn(2, c, 5, 7) for c in (3, 3, 3, 5)]
    maps = head.attention_maps(features, (1, 3))
    expected = head.attention.maps(head.reduce(features[-1]), (1, 3))
    assert {name: tuple(map.shape) for name, map in maps.items()} == dict.fromkeys(expected, (2, 5, 7))
    torch.testing.assert_close(maps, expected)


def test_controlled_form_takes_the_partition():
    head = create("isanet", (3, 3, 3, 5), 2, mode="controlled", channels=4, partition=(2, 5), mask_padding=True)
    assert head.attention.partition == (2, 5)
    assert head.attention.mask_padding


def test_empty_partition_is_refused():
    with pytest.raises(ValueError, match=r"partition=\(0, 8\) is not possible; use block sizes of 1 or more"):
        InterlacedAttention(8, partition=(0, 8))
