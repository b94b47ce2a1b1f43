"""RecoNet against its equations, written with loops over factors, channels and positions."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from segattn.heads import create
from segattn.heads.reconet import TensorReconstruction

FORMS = ["reference", "fast"]
RANK_WEIGHTS = ["softmax", "free", "constant"]


def averaged(mean: list[Tensor], length: int) -> Tensor:
    """Adaptive average: entry l is the mean over the positions whose cell overlaps [l, l + 1) S / L."""
    size, out = len(mean), []
    for cell in range(length):
        inside = [mean[i] for i in range(size) if i * length < (cell + 1) * size and (i + 1) * length > cell * size]
        out.append(sum(inside) / len(inside))
    return torch.stack(out)


def interpolated(vector: Tensor, size: int) -> Tensor:
    """Linear interpolation between cell centres, constant beyond the outermost ones."""
    out = []
    for i in range(size):
        at = min(max((i + 0.5) * len(vector) / size - 0.5, 0), len(vector) - 1)
        low = min(int(at), len(vector) - 2) if len(vector) > 1 else 0
        high = min(low + 1, len(vector) - 1)
        out.append((1 - (at - low)) * vector[low] + (at - low) * vector[high])
    return torch.stack(out)


@torch.no_grad()
def oracle_tensor(block: TensorReconstruction, x: Tensor) -> Tensor:
    """A = sum_t lambda_t c_t (x) h_t (x) w_t, entry by entry."""
    B, C, H, W = x.shape
    r = len(block.weight)
    weight = block.weight.exp() / block.weight.exp().sum() if block.rank_weights == "softmax" else block.weight
    A = torch.zeros_like(x)
    for b in range(B):
        mean_c = torch.stack([sum(x[b, k, i, j] for i in range(H) for j in range(W)) / (H * W) for k in range(C)])
        mean_h = [sum(x[b, k, i, j] for k in range(C) for j in range(W)) / (C * W) for i in range(H)]
        mean_w = [sum(x[b, k, i, j] for k in range(C) for i in range(H)) / (C * H) for j in range(W)]
        for t in range(r):
            matrix = [m.weight.unflatten(0, (r, -1))[t] for m in (block.channel, block.height, block.width)]
            c = torch.sigmoid(matrix[0] @ mean_c)
            if block.size_handling == "fixed":
                h, w = torch.sigmoid(matrix[1] @ torch.stack(mean_h)), torch.sigmoid(matrix[2] @ torch.stack(mean_w))
            else:
                h = interpolated(torch.sigmoid(matrix[1] @ averaged(mean_h, block.grid[0])), H)
                w = interpolated(torch.sigmoid(matrix[2] @ averaged(mean_w, block.grid[1])), W)
            for k in range(C):
                for i in range(H):
                    for j in range(W):
                        A[b, k, i, j] += weight[t] * c[k] * h[i] * w[j]
    return A


def random_block(channels: int, **options: object) -> TensorReconstruction:
    torch.manual_seed(0)
    block = TensorReconstruction(channels, **options).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block


def features(*shape: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("rank_weights", RANK_WEIGHTS)
@pytest.mark.parametrize(
    ("size_handling", "grid"),
    [("fixed", (3, 5)), ("resample", (3, 5)), ("resample", (2, 2)), ("resample", (7, 11)), ("resample", (1, 4))],
)
def test_block_equals_the_equation(size_handling, grid, rank_weights, implementation):
    block = random_block(
        4, rank=3, rank_weights=rank_weights, size_handling=size_handling, grid=grid, implementation=implementation
    )
    x = features(2, 4, 3, 5)
    expected = x * oracle_tensor(block, x)
    torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("size_handling", ["fixed", "resample"])
def test_gradients_are_those_of_the_equation(size_handling, implementation):
    grid = (2, 3) if size_handling == "fixed" else (5, 2)
    block = random_block(3, rank=2, size_handling=size_handling, grid=grid, implementation=implementation)
    assert torch.autograd.gradcheck(block, (features(2, 3, 2, 3).requires_grad_(),))


@pytest.mark.parametrize("rank_weights", RANK_WEIGHTS)
def test_factored_product_equals_the_outer_products_backward_too(rank_weights):
    grads = []
    for implementation in FORMS:
        block = random_block(7, rank=5, grid=(4, 6), rank_weights=rank_weights, implementation=implementation)
        x = features(2, 7, 11, 5).requires_grad_()
        y = block(x)
        grads.append((y, *torch.autograd.grad(y.sin().sum(), [x, *block.parameters()])))
    for reference, fast in zip(*grads, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_tensor_unfolded_along_the_channels_has_the_rank_of_the_block(rank, implementation):
    block = random_block(7, rank=rank, grid=(4, 6), implementation=implementation)
    A = block.reconstruct(*block.generate(features(2, 7, 5, 11)))
    assert torch.linalg.matrix_rank(A.flatten(2)).tolist() == [rank, rank]


@pytest.mark.parametrize("size_handling", ["fixed", "resample"])
def test_transposed_features_with_swapped_matrices_give_the_transposed_tensor(size_handling):
    block = random_block(7, rank=3, grid=(5, 11), size_handling=size_handling)
    swapped = random_block(7, rank=3, grid=(11, 5), size_handling=size_handling)
    state = block.state_dict()
    state["height.weight"], state["width.weight"] = state["width.weight"], state["height.weight"]
    swapped.load_state_dict(state)
    x = features(2, 7, 5, 11)
    torch.testing.assert_close(swapped(x.mT), block(x).mT, rtol=1e-12, atol=1e-12)


def test_row_descriptor_follows_the_rows():
    """Features that differ between rows only give factors of height that differ and factors of width that do not."""
    block = random_block(3, rank=2, size_handling="fixed", grid=(4, 6))
    torch.nn.init.eye_(block.height.weight[:4].data)
    x = torch.arange(4.0, dtype=torch.float64).view(1, 1, 4, 1).expand(1, 3, 4, 6)
    _, h, _ = block.generate(x)
    reversed_h = block.generate(x.flip(2))[1]
    assert not torch.allclose(h, reversed_h)
    torch.testing.assert_close(block.generate(x)[2], block.generate(x.flip(2))[2])


def test_sizes_agree_where_the_map_has_the_size_of_the_grid():
    fixed, resample = (random_block(5, rank=3, size_handling=s, grid=(7, 11)) for s in ("fixed", "resample"))
    x = features(2, 5, 7, 11)
    torch.testing.assert_close(resample(x), fixed(x), rtol=1e-12, atol=1e-12)


def test_fixed_size_refuses_other_maps_by_name():
    with pytest.raises(ValueError, match=r"grid=\(7, 11\), not 7x10; use 'resample'"):
        TensorReconstruction(5, size_handling="fixed", grid=(7, 11))(torch.randn(1, 5, 7, 10))


@pytest.mark.parametrize("rank_weights", RANK_WEIGHTS)
def test_factors_start_with_equal_weights(rank_weights):
    torch.manual_seed(0)
    block = TensorReconstruction(5, rank=4, rank_weights=rank_weights).double()
    x = features(2, 5, 3, 7)
    torch.testing.assert_close(block(x), x * oracle_tensor(block, x), rtol=1e-9, atol=1e-9)
    x = torch.zeros(1, 5, 3, 7, dtype=torch.float64)  # every sigmoid is 1/2: A = sum_t lambda_t / 8 = 1/8
    torch.testing.assert_close(block.reconstruct(*block.generate(x)), torch.full_like(x, 1 / 8))


def test_only_trainable_weights_are_parameters():
    trained = {w: "weight" in dict(TensorReconstruction(3, rank_weights=w).named_parameters()) for w in RANK_WEIGHTS}
    assert trained == {"softmax": True, "free": True, "constant": False}


def test_samples_do_not_mix():
    block, x = random_block(5, rank=3, grid=(4, 4)), features(2, 5, 7, 3)
    for b in range(2):
        torch.testing.assert_close(block(x)[b : b + 1], block(x[b : b + 1]), rtol=1e-12, atol=1e-12)


def test_map_of_the_gate_is_the_mean_of_the_tensor_over_channels():
    block, x = random_block(5, rank=7, grid=(4, 4)), features(2, 5, 7, 3)
    torch.testing.assert_close(block.maps(x, (2, 1))["gate"], oracle_tensor(block, x).mean(1), rtol=1e-9, atol=1e-9)


def test_factor_maps_are_the_largest_terms_at_the_pixel():
    block, x = random_block(5, rank=7, grid=(4, 4)), features(2, 5, 7, 3)
    c, h, w = block.generate(x)
    terms = torch.einsum("brc,brh,brw->brhw", c, h, w) / 5  # mean over channels
    maps = block.maps(x, (2, 1))
    assert list(maps) == ["gate", "factor_1", "factor_2", "factor_3"]
    for b in range(2):
        order = terms[b, :, 2, 1].argsort(descending=True)
        for place in range(3):
            torch.testing.assert_close(maps[f"factor_{place + 1}"][b], terms[b, order[place]])


@pytest.mark.parametrize(("with_gpm", "concat", "width"), [(False, True, 2), (True, True, 3), (True, False, 2)])
def test_head_joins_features_gated_and_pooled_features(with_gpm, concat, width):
    head = create("reconet", (3, 3, 3, 5), 2, channels=8, rank=3, with_gpm=with_gpm, concat=concat)
    assert head.fuse.conv.in_channels == width * 8
    assert head([torch.randn(2, c, 5, 7) for c in (3, 3, 3, 5)])["out"].shape == (2, 2, 5, 7)


def test_pooled_features_are_one_vector_for_all_positions():
    torch.manual_seed(0)
    head = create("reconet", (3, 3, 3, 5), 2, channels=8, rank=3, with_gpm=True, concat=False).eval()
    joined = []
    head.fuse.register_forward_pre_hook(lambda _, inputs: joined.append(torch.cat(inputs, dim=1)))
    maps = [torch.randn(2, c, 5, 7) for c in (3, 3, 3, 5)]
    head(maps)
    expected = head.pooled(head.reduce(maps[-1]).mean((2, 3), keepdim=True))
    torch.testing.assert_close(joined[0][:, 8:], expected.expand(2, 8, 5, 7))


def test_controlled_form_is_the_gated_features():
    block = TensorReconstruction(8, rank=2, grid=(5, 7), rank_weights="free")
    assert block(torch.randn(2, 8, 11, 3)).shape == (2, 8, 11, 3)


@pytest.mark.parametrize(("size", "gigaflops"), [(64, "0.305"), (65, "0.314"), (96, "0.645"), (97, "0.658")])
def test_cost_equals_the_closed_form_and_the_table(size, gigaflops):
    C, r, N = 512, 64, size * size
    with torch.device("meta"):
        block = TensorReconstruction(C, size_handling="fixed", grid=(size, size), implementation="fast")
        with FlopCounterMode(display=False) as counter:
            block(torch.empty(1, C, size, size))
    assert counter.get_total_flops() == 2 * (r * C * N + r * (C**2 + 2 * size**2))
    bias_terms = 2 * r * (C + 2 * size)  # the study's formula counts a bias in every convolution
    by_entries = r * N + C * N  # the table has one FLOP for each h (x) w and each product of the gate
    assert f"{(counter.get_total_flops() + bias_terms + by_entries) / 1e9:.3f}" == gigaflops


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"rank_weights": "learned"}, "'softmax', 'free', 'constant'"),
        ({"size_handling": "resize"}, "'resample', 'fixed'"),
    ],
)
def test_unknown_switches_are_refused_by_name(option, message):
    with pytest.raises(ValueError, match=message):
        TensorReconstruction(8, **option)
