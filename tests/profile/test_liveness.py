"""Peaks of computations whose bytes can be counted by hand, and torch's own record of one that cannot."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from segattn.profile.liveness import Liveness

FLOAT = 4


def on_meta(*layers):
    with torch.device("meta"):
        return nn.Sequential(*(build() for build in layers))


def linear(rows, columns):
    return lambda: nn.Linear(columns, rows, bias=False)


def watched(net, run, *inputs, device="cpu"):
    """The peak of run(net, *inputs)."""
    watch = Liveness(device)
    watch.adopt(net, "weights")
    with watch:
        run(net, *inputs, watch)
    return watch.peak()


def test_forward_pass_of_two_linear_layers():
    watch = Liveness()
    net, x = on_meta(linear(5, 3), linear(7, 5)), watch.tensor(2, 3)
    watch.adopt(net, "weights")
    with watch, torch.no_grad():
        net(x)
    # the input 2x3, both weights, and in the second layer its input 2x5 and output 2x7
    assert watch.peak().total == FLOAT * (2 * 3 + 5 * 3 + 7 * 5 + 2 * 5 + 2 * 7)
    assert watch.peak().parts == {
        "input": FLOAT * 6,
        "weights": FLOAT * (15 + 35),
        "temporary": FLOAT * (10 + 14),
    }
    assert watch.live == FLOAT * (2 * 3 + 5 * 3 + 7 * 5)  # the result has gone


def test_training_step_of_two_linear_layers():
    watch = Liveness()
    net, x = on_meta(linear(5, 3), linear(7, 5)), watch.tensor(2, 3)
    watch.adopt(net, "weights")
    with watch:
        loss = net(x).sum()
        watch.settle("activations")
        loss.backward()
        watch.name([parameter.grad for parameter in net.parameters()], "gradients")
    # At the first layer's gradient: input and weights, both gradients of weights, the gradient 2x5 of what lies between the
    # layers, which itself has gone with the second layer's node, the loss and its gradient 1.
    held = {"input": 6, "weights": 15 + 35, "gradients": 15 + 35, "temporary": 10 + 1, "activations": 1}
    assert watch.peak().parts == {kind: FLOAT * elements for kind, elements in held.items()}
    assert watch.peak().total == FLOAT * sum(held.values())


def test_checkpointing_keeps_inputs_only():
    def peak(wrap):
        watch = Liveness()
        blocks, x = on_meta(*[lambda: nn.Sequential(nn.Tanh(), nn.Tanh(), nn.Tanh())] * 5), watch.tensor(11, 13)
        x.requires_grad_()
        with watch:
            y = x
            for block in blocks:
                y = wrap(block, y)
            before = watch.live
            y.sum().backward()
        return before, watch.peak().total

    size = FLOAT * 11 * 13
    plain, recomputed = (
        peak(lambda block, y: block(y)),
        peak(lambda block, y: checkpoint(block, y, use_reentrant=False, preserve_rng_state=False)),
    )
    assert plain[0] == 16 * size  # x and the output of each of 15 tanh
    assert recomputed[0] == 6 * size  # x and the output of each of 5 blocks
    # The last block again: its 3 outputs beside its own (the result), and at most two gradients at a time.
    assert 9 * size <= recomputed[1] <= 11 * size + 2 * FLOAT
    assert plain[1] >= 17 * size


def test_views_and_in_place_operators_add_nothing():
    watch = Liveness()
    x = watch.tensor(3, 5, 7)
    with watch:
        x.transpose(0, 2).unflatten(0, (7, 1))[1:].mul_(2).relu_()
    assert watch.peak().total == watch.live == FLOAT * 3 * 5 * 7


def test_storage_lives_as_long_as_its_last_view():
    watch = Liveness()
    x = watch.tensor(11)
    with watch:
        view = (x + 1)[:2]
        assert watch.live == FLOAT * 22
        del view
        assert watch.live == FLOAT * 11


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_fused_attention_never_holds_its_weights(device):
    watch = Liveness(device)
    q, k, v = (watch.tensor(1, 1, 1024, 64, dtype=torch.float32) for _ in range(3))
    for tensor in (q, k, v):
        tensor.requires_grad_()
    with watch:
        before = watch.live
        out = F.scaled_dot_product_attention(q, k, v)
        assert watch.live - before == FLOAT * (1024 * 64 + 1024)  # output and one logarithm a query
        out.backward(torch.empty_like(out))
    size = FLOAT * 1024 * 64
    # q, k, v, output and its gradient, the three gradients; two numbers a query
    assert watch.peak().total == 8 * size + 2 * FLOAT * 1024


def test_attention_that_no_kernel_takes_holds_its_weights():
    watch = Liveness("cpu")  # whose kernel wants values as wide as queries
    q, k, v = (watch.tensor(1, 1, 64, width) for width in (8, 8, 16))
    with watch:
        F.scaled_dot_product_attention(q, k, v)
    assert watch.peak().total >= FLOAT * (64 * 8 * 2 + 64 * 16 + 64 * 64)


def test_code_sees_the_device_that_is_planned_for():
    seen = []
    for device in ("cpu", "cuda"):
        watch = Liveness(device)
        x = watch.tensor(3)
        with watch:
            seen.append(x.is_cuda)
    assert seen == [False, True]


def test_cuda_rounds_up_to_blocks_of_512_bytes():
    watch = Liveness("cuda")
    x = watch.tensor(129)  # 516 bytes
    with watch:
        y = x + 1
    assert watch.live == 2 * 1024
    del y


def test_autocast_of_cuda_does_a_softmax_in_float32_and_that_of_the_cpu_does_not():
    dtypes = {}
    for device in ("cpu", "cuda"):
        watch = Liveness(device)
        x = watch.tensor(5, 7, dtype=torch.bfloat16)
        with watch, torch.autocast("cpu", torch.bfloat16):
            dtypes[device] = x.softmax(dim=1).dtype
    assert dtypes == {"cpu": torch.bfloat16, "cuda": torch.float32}


def test_unknown_device_is_refused():
    with pytest.raises(ValueError, match="'tpu' is not known here; use one of cpu, cuda"):
        Liveness("tpu")


# Against what torch allocates in truth -----------------------------------------------------------------------------------
def convolutions(channels_last):
    layers = [nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    layers += [nn.Conv2d(32, 128, 3, padding=2, dilation=2), nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 256, 3)]
    net = nn.Sequential(*layers)
    return net.to(memory_format=torch.channels_last) if channels_last else net


def step(net, image):
    F.interpolate(net(image), size=(97, 97), mode="bilinear").log_softmax(dim=1).square().mean().backward()


@pytest.mark.slow
@pytest.mark.parametrize("channels_last", [True, False])
def test_peak_is_that_of_torchs_own_record_of_allocations(channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    watch = Liveness()
    with torch.device("meta"):
        net = convolutions(channels_last)
    image = watch.tensor(2, 3, 97, 97, memory_format=layout)
    watch.adopt(net, "weights")
    start = watch.live
    with watch:
        step(net, image)
    predicted = watch.peak().total - start

    net, image = convolutions(channels_last), torch.zeros(2, 3, 97, 97).contiguous(memory_format=layout)
    step(net, image)  # what the libraries allocate once
    net.zero_grad()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step(net, image)
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    assert predicted == pytest.approx(highest, rel=0.02)
