"""FLANet against its equation, written with loops over columns, rows and channels."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from segattn import heads
from segattn.heads.flanet import SLICES, FullyAttentional, Head
from segattn.heads.parts.controlled import ControlledHead

IMPLEMENTATIONS = ["reference", "fast"]
IN_CHANNELS = (3, 5, 7, 11)


def similarity(part: Tensor, prior: Tensor) -> Tensor:
    """R of one column or row (C, L) with the prior Q (L, C): row c is the softmax over d of sum_l part[c, l] Q[l, d]."""
    C, L = part.shape
    result = torch.zeros(C, C, dtype=part.dtype)
    for c in range(C):
        result[c] = torch.stack([sum(part[c, i] * prior[i, d] for i in range(L)) for d in range(C)]).softmax(0)
    return result


def priors(block: FullyAttentional, x: Tensor) -> tuple[Tensor, Tensor]:
    """Q (H, C) of the rows and Q' (W, C) of the columns of one map (C, H, W)."""
    _, H, W = x.shape
    row, column = block.row_prior, block.column_prior
    of_rows = [row.weight @ (sum(x[:, h, w] for w in range(W)) / W) + row.bias for h in range(H)]
    of_columns = [column.weight @ (sum(x[:, h, w] for h in range(H)) / H) + column.bias for w in range(W)]
    return torch.stack(of_rows), torch.stack(of_columns)


def oracle(block: FullyAttentional, x: Tensor) -> Tensor:
    """F + gamma O, sample by sample, column by column, row by row."""
    out = x.clone()
    for b, sample in enumerate(x):
        of_rows, of_columns = priors(block, sample)
        for w in range(sample.shape[2]):
            out[b, :, :, w] += block.gamma * similarity(sample[:, :, w], of_rows) @ sample[:, :, w]
        for h in range(sample.shape[1]):
            out[b, :, h, :] += block.gamma * similarity(sample[:, h, :], of_columns) @ sample[:, h, :]
    return out


def random_block(channels: int, implementation: str = "auto") -> FullyAttentional:
    torch.manual_seed(0)
    block = FullyAttentional(channels, implementation=implementation).double()
    torch.nn.init.constant_(block.gamma, 0.7)
    return block


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [(3, 5), (7, 2), (1, 5), (5, 1), (1, 1)])
def test_block_equals_the_equation(size, implementation):
    block = random_block(7, implementation)
    x = torch.randn(2, 7, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = oracle(block, x)
        torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_are_those_of_the_equation(implementation):
    block = random_block(3, implementation)
    x = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


def test_fast_and_reference_have_the_same_gradients():
    results = []
    for implementation in IMPLEMENTATIONS:
        block = random_block(11, implementation)
        x = torch.linspace(-2, 2, 2 * 11 * 5 * 7, dtype=torch.float64).sin().reshape(2, 11, 5, 7).requires_grad_()
        block(x).square().sum().backward()
        results.append([x.grad, *(p.grad for p in block.parameters())])
    for reference, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_batch_of_two_equals_two_batches_of_one(implementation):
    """The authors' public code gives samples each other's prior."""
    block = random_block(7, implementation)
    x = torch.randn(2, 7, 3, 5, dtype=torch.float64)
    alone = torch.cat([block(x[:1]), block(x[1:])])
    torch.testing.assert_close(block(x), alone, rtol=1e-12, atol=1e-12)


def test_rows_of_the_similarity_sum_to_one():
    block = FullyAttentional(7)
    similar = block.similarity(100 * torch.randn(2, 5, 7, 3), torch.randn(2, 3, 7))
    torch.testing.assert_close(similar.sum(3), torch.ones(2, 5, 7))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_block_starts_as_the_identity(implementation):
    x = torch.randn(2, 16, 5, 7)
    assert torch.equal(FullyAttentional(16, implementation=implementation)(x), x)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_transposing_the_image_and_exchanging_the_priors_transposes_the_result(implementation):
    block = random_block(7, implementation)
    x = torch.randn(2, 7, 3, 5, dtype=torch.float64)
    expected = block(x).transpose(2, 3)
    block.row_prior, block.column_prior = block.column_prior, block.row_prior
    torch.testing.assert_close(block(x.transpose(2, 3)), expected, rtol=1e-12, atol=1e-12)


def test_maps_of_a_pixel_are_the_channel_affinities_of_its_column_and_row():
    torch.manual_seed(1)
    head = Head(IN_CHANNELS, 2, channels=7).double().eval()
    features = [torch.randn(2, c, 3, 5, dtype=torch.float64) for c in IN_CHANNELS]
    with torch.no_grad():
        maps = head.attention_maps(features, (1, 3))
        for b, x in enumerate(head.reduce(features[-1])):
            of_rows, of_columns = priors(head.attention, x)
            torch.testing.assert_close(maps["column"][b], similarity(x[:, :, 3], of_rows))
            torch.testing.assert_close(maps["row"][b], similarity(x[:, 1, :], of_columns))


def test_cost_is_that_of_the_published_closed_form():
    """Torch's count plus the biases of the linear layers: one multiply-add per output."""
    counted = []
    for size in (64, 65, 96, 97):
        block = FullyAttentional(512, implementation="reference").to("meta")
        with FlopCounterMode(display=False) as counter:
            block(torch.empty(1, 512, size, size, device="meta"))
        counted.append(round((counter.get_total_flops() + 2 * (2 * size) * 512) / 1e9, 3))
    assert counted == [8.657, 8.929, 19.428, 19.834]


def test_auxiliary_outputs_come_from_stages_two_and_three_in_training_only():
    head = Head(IN_CHANNELS, 2, channels=8).train()
    features = [torch.randn(2, c, 3, 5, requires_grad=True) for c in IN_CHANNELS]
    outputs = head(features)
    assert list(outputs) == list(head.loss_weights) == ["out", "aux1", "aux2"]
    for name, stage in [("aux1", 1), ("aux2", 2)]:
        gradients = torch.autograd.grad(outputs[name].sum(), features, retain_graph=True, allow_unused=True)
        assert [g is not None for g in gradients] == [i == stage for i in range(4)]
    assert list(head.eval()(features)) == ["out"]


@pytest.mark.parametrize(("upsample", "size"), [(False, (3, 5)), (True, (6, 10))])
def test_upsampling_classifier_doubles_every_output(upsample, size):
    head = Head(IN_CHANNELS, 2, channels=8, upsample_classifier=upsample)
    outputs = head([torch.randn(2, c, 3, 5) for c in IN_CHANNELS])
    assert {tuple(logits.shape) for logits in outputs.values()} == {(2, 2, *size)}


def test_controlled_form_is_the_same_block():
    head = heads.create("flanet", IN_CHANNELS, 2, mode="controlled", channels=8, implementation="reference")
    assert isinstance(head, ControlledHead)
    assert isinstance(head.attention, FullyAttentional)
    assert head.attention.implementation == "reference"


def test_some_slices_at_a_time_equal_all_at_once():
    torch.manual_seed(0)
    fast, reference = (FullyAttentional(7, implementation=form).double() for form in ("fast", "reference"))
    fast.load_state_dict(reference.state_dict())
    for block in (fast, reference):
        torch.nn.init.constant_(block.gamma, 0.7)
    x = torch.randn(2, 7, SLICES + 3, 2 * SLICES + 5, dtype=torch.float64)
    before = x.clone()
    with torch.no_grad():
        torch.testing.assert_close(fast(x), reference(x), rtol=1e-10, atol=1e-10)
    assert torch.equal(x, before)
