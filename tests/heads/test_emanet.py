"""EMANet against its equations, written with loops over positions and bases, and its moving bases."""

import copy
import datetime

import pytest
import torch
from torch import Tensor, distributed
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from segattn import heads
from segattn.heads.emanet import EMAU, _projects_bases

IMPLEMENTATIONS = ["reference", "fast"]
IN_CHANNELS = (3, 5, 7, 11)


def expectation_maximization(block: EMAU, sample: Tensor) -> tuple[Tensor, Tensor]:
    """z (N, K) and the bases (C, K) of one map (C, N) after the rounds of the paper."""
    C, N = sample.shape
    x = [block.embed.weight[:, :, 0, 0] @ sample[:, n] + block.embed.bias for n in range(N)]
    mu = block.bases[0].clone()
    K = mu.shape[1]
    for _ in range(block.num_rounds):
        z = torch.stack([torch.stack([x[n].dot(mu[:, k]) for k in range(K)]).softmax(0) for n in range(N)])
        for k in range(K):
            mean = sum(z[n, k] * x[n] for n in range(N)) / sum(z[n, k] for n in range(N))
            mu[:, k] = mean / mean.square().sum().sqrt()
    return z, mu


def oracle(block: EMAU, x: Tensor) -> Tensor:
    """ReLU(F + BN(W2 ReLU(sum_k z_nk mu_k))), in eval."""
    out = torch.zeros_like(x).flatten(2)
    bn = block.bn
    for b, sample in enumerate(x.flatten(2)):
        z, mu = expectation_maximization(block, sample)
        for n in range(sample.shape[1]):
            rebuilt = sum(z[n, k] * mu[:, k] for k in range(mu.shape[1])).relu()
            y = block.project.weight[:, :, 0, 0] @ rebuilt
            y = (y - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
            out[b, :, n] = (sample[:, n] + y).relu()
    return out.view_as(x)


def alone(tensor: Tensor) -> Tensor:
    """The mean over the only process."""
    return tensor


def random_block(channels: int = 7, **options: object) -> EMAU:
    torch.manual_seed(0)
    block = EMAU(channels, **{"num_bases": 3, **options}).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("num_rounds", [1, 3])
@pytest.mark.parametrize("size", [(3, 5), (7, 2), (1, 1)])
def test_block_equals_the_equation(size, num_rounds, implementation):
    block = random_block(num_rounds=num_rounds, implementation=implementation).eval()
    x = torch.randn(2, 7, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = oracle(block, x)
        torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradient_passes_beside_the_rounds_and_not_through_them(implementation):
    """With z and mu constant, x only passes the sum: its gradient is where the output is positive, and 0 elsewhere."""
    block = random_block(implementation=implementation).eval()
    x = torch.randn(2, 7, 3, 5, dtype=torch.float64, requires_grad=True)
    out = block(x)
    out.sum().backward()
    assert torch.equal(x.grad, (out > 0).double())
    assert block.embed.weight.grad is None
    assert block.embed.bias.grad is None
    assert not block.embed.weight.requires_grad
    assert block.project.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_of_the_weights_are_those_of_the_equation(implementation):
    block = random_block(3, implementation=implementation).eval()
    x = 3 + torch.randn(2, 3, 2, 3, dtype=torch.float64)

    def of_weight(weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(block, {"project.weight": weight, "bn.bias": bias}, (x,))

    inputs = (block.project.weight.detach().requires_grad_(), block.bn.bias.detach().requires_grad_())
    assert torch.autograd.gradcheck(of_weight, inputs)


def test_fast_and_reference_agree_in_output_gradients_and_moved_bases():
    results = []
    for implementation in IMPLEMENTATIONS:
        block = random_block(11, num_bases=5, implementation=implementation).train()
        x = torch.linspace(-2, 2, 2 * 11 * 5 * 7, dtype=torch.float64).sin().reshape(2, 11, 5, 7).requires_grad_()
        out = block(x)
        out.square().sum().backward()
        block.after_step(alone)
        results.append([out, x.grad, block.project.weight.grad, block.bn.weight.grad, block.bases])
    for reference, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bases_keep_unit_norm_and_responsibilities_sum_to_one(implementation):
    block = random_block(implementation=implementation)
    z, bases = block.responsibilities(5 * torch.randn(2, 7, 5, 3, dtype=torch.float64))
    torch.testing.assert_close(z.sum(2), torch.ones(2, 15, dtype=torch.float64))
    torch.testing.assert_close(bases.norm(dim=1), torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("normalize_mean", [True, False])
@pytest.mark.parametrize("momentum", [0.1, 0.3])
def test_bases_move_once_a_step_by_the_momentum_whatever_the_accumulation(momentum, normalize_mean, parts):
    block = random_block(momentum=momentum, normalize_mean=normalize_mean).train()
    x = torch.randn(4, 7, 3, 5, dtype=torch.float64)
    before = block.bases.clone()
    mean = sum(expectation_maximization(block, sample)[1] for sample in x.flatten(2)) / 4
    if normalize_mean:
        mean = mean / mean.norm(dim=0)
    for part in x.chunk(parts):
        block(part)
        assert torch.equal(block.bases, before)
    block.after_step(alone)
    moved = (1 - momentum) * before[0] + momentum * mean
    torch.testing.assert_close(block.bases[0], moved)
    block.after_step(alone)  # nothing has been gathered since
    torch.testing.assert_close(block.bases[0], moved)


def test_a_loop_that_never_steps_keeps_no_more_than_one_sum():
    block = random_block().train()
    for _ in range(3):
        block(torch.randn(2, 7, 3, 5, dtype=torch.float64))
    total, parts = block.gathered
    assert total.shape == block.bases.shape
    assert parts == 3
    assert total.grad_fn is None
    assert "bases" in block.state_dict()
    assert not any("gathered" in name for name in block.state_dict())
    assert [name for name, _ in block.named_buffers() if "." not in name] == ["bases"]  # wrappers broadcast buffers


def test_bases_rest_in_eval_and_under_attention_maps():
    block = random_block().eval()
    before = block.bases.clone()
    x = torch.randn(2, 7, 3, 5, dtype=torch.float64)
    block(x)
    block.train().maps(x, (1, 2))
    block.after_step(alone)
    assert torch.equal(block.bases, before)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_recomputing_a_checkpoint_changes_neither_gradients_nor_bases(use_reentrant):
    plain, checkpointed = random_block().train(), random_block().train()
    parts = torch.randn(3, 2, 7, 3, 5, dtype=torch.float64)
    for part in parts:
        plain(part.clone().requires_grad_()).square().sum().backward()
        checkpoint(checkpointed, part.clone().requires_grad_(), use_reentrant=use_reentrant).square().sum().backward()
    for block in (plain, checkpointed):
        block.after_step(alone)
    torch.testing.assert_close(checkpointed.bases, plain.bases, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(checkpointed.project.weight.grad, plain.project.weight.grad)


def test_a_copy_in_the_middle_of_a_step_moves_by_itself():
    block = random_block().train()
    block(torch.randn(2, 7, 3, 5, dtype=torch.float64))
    twin, before = copy.deepcopy(block), block.bases.clone()
    twin.after_step(alone)
    assert torch.equal(block.bases, before)
    block.after_step(alone)
    assert torch.equal(block.bases, twin.bases)
    assert not torch.equal(block.bases, before)


def test_compiled_as_one_graph_the_bases_move_as_without():
    torch.compiler.reset()
    plain, compiled = random_block().train(), random_block().train()
    graph = torch.compile(compiled, backend="eager", fullgraph=True)
    with torch._dynamo.config.patch(
        error_on_recompile=False, recompile_limit=2
    ):  # the first part of a step, and others
        for _ in range(3):
            for part in torch.randn(3, 2, 7, 3, 5, dtype=torch.float64):
                torch.testing.assert_close(graph(part), plain(part))
            for block in (plain, compiled):
                block.after_step(alone)
            torch.testing.assert_close(compiled.bases, plain.bases)


def test_export_after_training_holds_the_bases_alone():
    """What was gathered is no part of the graph."""
    block = random_block().train()
    block(torch.randn(2, 7, 3, 5, dtype=torch.float64))
    block.eval()
    x = torch.randn(2, 7, 3, 5, dtype=torch.float64)
    program = torch.export.export(block, (x,))
    assert [name for name in program.state_dict if "bases" in name or "gathered" in name] == ["bases"]
    torch.testing.assert_close(program.module()(x), block(x))


def _step(rank: int, store: str, block: EMAU, x: Tensor, result: str) -> None:
    """One training step of one of two processes, with its half of the batch in two parts."""
    block = copy.deepcopy(block)  # torch shares the memory of what it sends: both processes would write the same bases
    timeout = datetime.timedelta(seconds=60)
    distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2, timeout=timeout)

    def mean(tensor: Tensor) -> Tensor:
        distributed.all_reduce(tensor)
        return tensor / 2

    for part in x.chunk(2)[rank].chunk(2):
        block(part)
    block.after_step(mean)
    torch.save(block.bases, f"{result}{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not distributed.is_available(), reason="this torch is built without torch.distributed")
def test_two_processes_hold_the_bases_that_one_would(tmp_path):
    block = random_block().train()
    x = torch.randn(4, 7, 3, 5, dtype=torch.float64)
    arguments = (str(tmp_path / "store"), block, x, str(tmp_path / "bases"))
    torch.multiprocessing.spawn(_step, arguments, nprocs=2)
    block(x)
    block.after_step(alone)
    first, second = (torch.load(tmp_path / f"bases{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, block.bases)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_samples_do_not_mix(implementation):
    block = random_block(implementation=implementation).eval()
    x = torch.randn(3, 7, 3, 5, dtype=torch.float64)
    alone = torch.cat([block(sample[None]) for sample in x])
    torch.testing.assert_close(block(x), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounds_run_in_float32_under_autocast(dtype, implementation):
    """Values of 1e4 would overflow float16 in W1 F; the responsibilities stay those of float32."""
    block = random_block(implementation=implementation).float().eval()
    x = 1e4 * torch.rand(2, 7, 11, 13)
    expected, _ = block.responsibilities(x)
    with torch.autocast("cpu", dtype):
        z, bases = block.responsibilities(x)
        assert block(x).isfinite().all()
    assert z.dtype == bases.dtype == torch.float32
    torch.testing.assert_close(z, expected)


def test_maps_of_a_pixel_are_its_weights_and_its_strongest_bases():
    head = heads.create("emanet", IN_CHANNELS, 2, channels=7, num_bases=5).double().eval()
    torch.nn.init.normal_(head.attention.embed.weight)
    features = [torch.randn(2, c, 3, 5, dtype=torch.float64) for c in IN_CHANNELS]
    with torch.no_grad():
        maps = head.attention_maps(features, (1, 3))
        for b, x in enumerate(head.reduce(features[-1])):
            z, _ = expectation_maximization(head.attention, x.flatten(1))
            own = z[1 * 5 + 3]
            affinity = torch.stack([sum(own[k] * z[n, k] / z[:, k].sum() for k in range(5)) for n in range(15)])
            torch.testing.assert_close(maps["affinity"][b].flatten(), affinity)
            torch.testing.assert_close(maps["responsibilities"][b, 0], own)
            for rank, k in enumerate(own.argsort(descending=True)[:3], start=1):
                torch.testing.assert_close(maps[f"base_{rank}"][b].flatten(), z[:, k])
    torch.testing.assert_close(maps["affinity"].sum((1, 2)), torch.ones(2, dtype=torch.float64))


def flops(implementation: str, size: int) -> int:
    """FLOPs as torch counts them, plus one multiply-add per output of the two convolutions."""
    block = EMAU(512, implementation=implementation).eval().to("meta")
    with FlopCounterMode(display=False) as counter:
        block(torch.empty(1, 512, size, size, device="meta"))
    return counter.get_total_flops() + 2 * 2 * size * size * 512


def test_cost_is_that_of_the_published_closed_form():
    assert [round(flops("reference", size) / 1e9, 3) for size in (64, 65, 96, 97)] == [6.182, 6.377, 13.910, 14.202]


def test_fast_form_applies_the_first_convolution_to_bases_and_sums():
    """N C^2 multiply-adds less; in each of T = 3 rounds 2 K C^2 more for W1 and K C for b1."""
    N, C, K, T = 97 * 97, 512, 64, 3
    assert flops("reference", 97) - flops("fast", 97) == 2 * (N * C**2 - T * (2 * K * C**2 + K * C))


def test_auto_applies_the_first_convolution_to_the_fewer_columns():
    """To the 2 T K columns of bases and sums, or to the N of the map."""
    auto = EMAU(4, num_bases=2, num_rounds=3)  # 12 columns
    assert [_projects_bases(auto, torch.empty(1, 4, 4, width)) for width in (3, 4)] == [False, True]
    for form, always in (("reference", False), ("fast", True)):
        block = EMAU(4, num_bases=2, num_rounds=3, implementation=form)
        assert [_projects_bases(block, torch.empty(1, 4, 4, width)) for width in (3, 4)] == [always, always]


@pytest.mark.parametrize(("concat_input", "width"), [(True, 11 + 4), (False, 4)])
def test_backbone_map_is_joined_on_request(concat_input, width):
    """The narrower map has 8 / 2 channels, the backbone's last one 11."""
    head = heads.create("emanet", IN_CHANNELS, 2, channels=8, concat_input=concat_input)
    assert (head.fuse.conv.in_channels if concat_input else head.classify.conv.in_channels) == width
    assert head([torch.randn(2, c, 3, 5) for c in IN_CHANNELS])["out"].shape == (2, 2, 3, 5)


def test_controlled_form_is_the_same_block_with_the_options_given():
    head = heads.create("emanet", IN_CHANNELS, 2, mode="controlled", channels=8, momentum=0.5, num_bases=3)
    assert isinstance(head.attention, EMAU)
    assert head.attention.momentum == 0.5
    assert head.attention.bases.shape == (1, 8, 3)


@pytest.mark.parametrize("option", ["num_bases", "num_rounds"])
def test_no_base_or_round_is_refused(option):
    with pytest.raises(ValueError, match=f"{option}=0.*use at least 1 of each"):
        EMAU(8, **{option: 0})


def test_a_single_channel_has_no_half_and_is_refused():
    with pytest.raises(ValueError, match="channels=1: half of them go on after the attention; use at least 2"):
        heads.create("emanet", IN_CHANNELS, 2, channels=1)
    assert heads.create("emanet", IN_CHANNELS, 2, mode="controlled", channels=1)
