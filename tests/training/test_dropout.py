"""Dropout of several processes draws the numbers that one process draws for the whole batch."""

import pytest
import torch
from torch import nn

from segattn.training.dropout import SharedDropout
from segattn.training.resume import random_state


def network():
    """Two dropouts with a layer between them; the same weights in every process."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Dropout2d(0.4), nn.Conv2d(5, 7, 1), nn.ReLU(), nn.Dropout2d(0.1))


def ranks(world_size):
    """The processes of a run, one after another in this one; all follow rank 0."""
    networks = [network() for _ in range(world_size)]
    shared = [
        SharedDropout(each, rank=rank, world_size=world_size, device=torch.device("cpu"))
        for rank, each in enumerate(networks)
    ]
    return networks, shared


@pytest.mark.parametrize("world_size", [2, 3])
def test_parts_of_a_batch_are_dropped_as_the_whole_is(world_size):
    batches = torch.randn(4, 6, 5, 3, 2, generator=torch.Generator().manual_seed(1))  # (steps, B, C, H, W)
    alone = network()
    torch.manual_seed(3)
    expected = [alone(batch) for batch in batches]
    torch.manual_seed(3)
    networks, shared = ranks(world_size)
    torch.manual_seed(3)
    first = random_state()
    for each in shared:
        each.follow(first)
    outputs = []
    for rank, each in enumerate(networks):  # rank 0 draws from torch's own generator, the others from theirs
        torch.manual_seed(3 if rank == 0 else 100 + rank)
        outputs.append([each(batch.chunk(world_size)[rank]) for batch in batches])
    for step, whole in enumerate(expected):
        assert torch.equal(torch.cat([own[step] for own in outputs]), whole)
    assert (expected[0] == 0).any()


def test_rank_0_leaves_torchs_generator_where_one_process_does():
    batch = torch.randn(6, 5, 3, 2)
    alone, (networks, _) = network(), ranks(2)
    after = []
    for each, part in ((alone, batch), (networks[0], batch[:3])):
        torch.manual_seed(3)
        each(part)
        after.append(torch.get_rng_state())
    assert torch.equal(*after)


def test_nothing_is_dropped_in_evaluation():
    networks, _ = ranks(2)
    batch = torch.randn(2, 5, 3, 2)
    for each in networks:
        each.eval()
        assert torch.equal(each(batch), network().eval()(batch))
