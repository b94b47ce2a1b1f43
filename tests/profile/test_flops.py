"""Whole networks: agreement with other counters, the traps of counting, attribution to modules, speed."""

import resource
import time

import pytest
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segattn.profile import operators
from segattn.profile.flops import UncountedOperator, Work, count, register


def meta(*shape):
    return torch.empty(*shape, device="meta")


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


class Bottleneck(nn.Module):
    def __init__(self, channels, width, dilation=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2, self.conv3 = nn.BatchNorm2d(width), nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3, self.shortcut = nn.BatchNorm2d(4 * width), nn.Conv2d(channels, 4 * width, 1, bias=False)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


def deep_network(blocks):
    layers = [nn.Conv2d(3, 64, 7, 8, padding=3), *(Bottleneck(64 if i == 0 else 512, 128, 2) for i in range(blocks))]
    return nn.Sequential(*layers).to("meta").eval()


class SpatialAttention(nn.Module):
    """The position attention of DANet: queries and keys with an eighth of the channels, values with all."""

    def __init__(self, channels, reduced, fused=False):
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, reduced, 1), nn.Conv2d(channels, reduced, 1)
        self.value, self.fused = nn.Conv2d(channels, channels, 1), fused

    def forward(self, x):
        q, k, v = (conv(x).flatten(2).mT for conv in (self.query, self.key, self.value))
        if self.fused:
            y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], scale=1.0)[:, 0]
        else:
            y = (q @ k.mT).softmax(-1) @ v
        return y.mT.unflatten(-1, x.shape[2:])


def channel_attention(x):
    f = x.flatten(2)
    return ((f @ f.mT).softmax(-1) @ f).view_as(x)


class TestOtherCounters:
    @pytest.mark.parametrize(
        ("network", "shape"),
        [
            (deep_network(3), (2, 3, 65, 97)),
            (SpatialAttention(16, 2).to("meta"), (2, 16, 11, 13)),
            (Apply(channel_attention), (2, 16, 11, 13)),
            (nn.TransformerEncoderLayer(6, 2, 11, batch_first=True, device="meta").eval(), (2, 5, 6)),
            (
                nn.Sequential(nn.ConvTranspose2d(3, 5, 3, 2), nn.Flatten(), nn.Linear(5 * 11 * 15, 7)).to("meta"),
                (2, 3, 5, 7),
            ),
        ],
        ids=["convolutions", "spatial attention", "channel attention", "transformer", "transposed and linear"],
    )
    def test_flops_equal_torch(self, network, shape):
        with FlopCounterMode(display=False) as torch_counter:
            network(meta(*shape))
        assert count(network, meta(*shape)).total().flops == torch_counter.get_total_flops() > 0

    @pytest.mark.parametrize(
        ("network", "shape"),
        [
            (deep_network(2), (1, 3, 65, 97)),
            (SpatialAttention(16, 2), (2, 16, 5, 7)),
            (nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 5, bias=False)), (11, 3)),
        ],
        ids=["convolutions", "spatial attention", "linear"],
    )
    def test_macs_equal_fvcore(self, network, shape):
        network.to_empty(device="cpu").eval()
        image = torch.zeros(shape)
        analysis = FlopCountAnalysis(network, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        fvcore = analysis.by_operator()
        norms = fvcore.pop("batch_norm", 0)  # in the same sum there, in `other` here
        ledger = count(network, image)
        assert ledger.total().macs == sum(fvcore.values()) > 0
        assert sum(row.other for row in ledger.rows if row.operator == "batch_norm") == norms


class TestPublishedConvention:
    """The study's convention at the 97x97 grid of a 769 crop, C = 512, in GFLOPs as printed in the protocol."""

    def study(self, module):
        return f"{count(module.to('meta'), meta(1, 512, 97, 97)).total().study / 1e9:.3f}"

    @pytest.mark.parametrize("fused", [False, True])
    def test_spatial_attention(self, fused):
        assert self.study(SpatialAttention(512, 64, fused)) == "108.164"

    def test_channel_attention(self):
        assert self.study(Apply(channel_attention)) == "9.866"


class TestTraps:
    """Each would corrupt the main table silently."""

    def test_fused_attention_on_the_processor_is_counted(self):
        q = torch.zeros(1, 1, 11, 8)
        with FlopCounterMode(display=False) as torch_counter:
            F.scaled_dot_product_attention(q, q, q)
        assert torch_counter.get_total_flops() == 0, "torch counts it now: architecture.md can drop this trap"
        assert count(Apply(F.scaled_dot_product_attention), q, q, q).total().flops == 2 * 2 * 11 * 11 * 8

    def test_sum_over_neighbours_is_a_product_when_written_as_one(self):
        a, b = meta(9, 900), meta(9, 900)
        product = count(Apply(lambda a, b: torch.einsum("kn,kn->n", a, b)), a, b).total()
        assert (product.flops, product.other) == (16_200, 0)

    def test_multiply_then_sum_is_seen_in_other(self):
        written_out = count(Apply(lambda a, b: (a * b).sum(0)), meta(9, 900), meta(9, 900)).total()
        assert (written_out.flops, written_out.other) == (0, 16_200)

    def test_low_rank_sum_of_outer_products(self):
        c, hw = meta(64, 512), meta(64, 97 * 97)
        product = count(Apply(lambda c, hw: torch.einsum("rc,rn->cn", c, hw)), c, hw).total()
        assert product.flops == 2 * 64 * 512 * 97 * 97 == 616_628_224
        broadcast = count(Apply(lambda c, hw: (c[:, :, None] * hw[:, None]).sum(0)), c, hw).total()
        assert (broadcast.flops, broadcast.other) == (0, 616_628_224)

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: x.softmax(1),
            lambda x: F.interpolate(x, (11, 13), mode="bilinear"),
            lambda x: F.batch_norm(x, x[0, :, 0, 0], x[0, :, 0, 0]),
        ],
        ids=["softmax", "resize", "batch norm"],
    )
    def test_work_that_is_no_product_has_a_column_of_its_own(self, function):
        total = count(Apply(function), meta(2, 3, 5, 7)).total()
        assert total.other > 0
        assert total.macs == total.study == 0

    def test_unfold_moves_its_bytes(self):
        total = count(Apply(lambda x: F.unfold(x, 3, padding=1)), meta(1, 2, 5, 7)).total()
        assert total.bytes == 4 * (2 * 35 + 9 * 2 * 35)

    def test_the_fast_form_costs_what_the_equation_costs(self):
        explicit, fused = (
            count(SpatialAttention(16, 2, fused).to("meta"), meta(1, 16, 5, 7)).total() for fused in (False, True)
        )
        assert (explicit.macs, explicit.study, explicit.other) == (fused.macs, fused.study, fused.other)


class TestAttribution:
    def test_nested_modules(self):
        net = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Sequential(nn.Conv2d(5, 7, 1), nn.ReLU())).to("meta")
        ledger = count(net, meta(1, 3, 11, 13))
        assert [(row.module, row.operator) for row in ledger.rows] == [
            ("0", "convolution"),
            ("1.0", "convolution"),
            ("1.1", "relu"),
        ]
        assert ledger.total("0").macs == 3 * 5 * 143
        assert ledger.total("1").macs == ledger.total("1.0").macs == 5 * 7 * 143
        assert ledger.total().macs == (15 + 35) * 143

    def test_operators_of_the_module_itself(self):
        ledger = count(deep_network(1), meta(1, 3, 65, 65))
        assert {row.operator for row in ledger.rows if row.module == "1"} == {"relu", "add"}

    def test_repeated_calls_count_each_time_and_parameters_once(self):
        conv = nn.Conv2d(3, 3, 1, device="meta")
        once, twice = count(conv, meta(1, 3, 5, 7)), count(Apply(lambda x: conv(conv(x))), meta(1, 3, 5, 7))
        assert twice.total().macs == 2 * once.total().macs
        recurrent = nn.Sequential(conv, conv)
        ledger = count(recurrent, meta(1, 3, 5, 7))
        assert (ledger.rows[0].module, ledger.rows[0].calls) == ("0", 2)
        assert ledger.total().parameters == once.total().parameters == 12

    def test_a_module_in_two_places_is_charged_to_its_caller(self):
        shared = nn.Conv2d(3, 3, 1)
        net = nn.Sequential(nn.Sequential(shared, nn.ReLU()), nn.Sequential(shared, shared)).to("meta")
        ledger = count(net, meta(1, 3, 5, 7))
        assert ledger.total("0").macs == 9 * 35
        assert ledger.total("1").macs == 2 * 9 * 35
        assert ledger.total("0").parameters == ledger.total("1").parameters == ledger.total().parameters == 12

    def test_a_module_nobody_registered_belongs_to_its_caller(self):
        hidden = nn.Conv2d(3, 3, 1, device="meta")
        ledger = count(nn.Sequential(Apply(lambda x: hidden(x))), meta(1, 3, 5, 7))
        assert {row.module for row in ledger.rows} == {"0"}
        assert ledger.total().parameters == 0

    def test_hooks_are_gone_afterwards_also_after_an_error(self):
        before = dict(nn.modules.module._global_forward_hooks), dict(nn.modules.module._global_forward_pre_hooks)
        with pytest.raises(RuntimeError):
            count(nn.Conv2d(3, 5, 1, device="meta"), meta(1, 7, 5, 5))
        assert (
            dict(nn.modules.module._global_forward_hooks),
            dict(nn.modules.module._global_forward_pre_hooks),
        ) == before
        assert torch.zeros(3).relu().device.type == "cpu"


class TestDevices:
    def test_real_tensors_give_the_same_ledger(self):
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), SpatialAttention(8, 2, fused=True)).eval()
        real = count(net, torch.zeros(2, 3, 7, 11))
        assert count(net.to("meta"), meta(2, 3, 7, 11)).rows == real.rows

    def test_batch_norms_on_meta_give_the_ledger_of_real_ones_and_refuse_other_channels(self):
        for dtype, training in ((torch.float32, True), (torch.bfloat16, False)):
            norm, image = nn.BatchNorm2d(3).train(training), torch.ones(2, 3, 5, 7, dtype=dtype)
            net = nn.Sequential(norm, Apply(lambda x: x[:, :, 1:].relu()))
            real = count(net, image)
            assert count(net.to("meta"), image.to("meta")).rows == real.rows
        with pytest.raises(RuntimeError, match="running_mean"):
            count(nn.BatchNorm2d(3, device="meta"), meta(2, 5, 7, 7))

    def test_the_result_of_a_real_run_is_untouched(self):
        net = nn.BatchNorm2d(3).train()
        count(net, torch.ones(2, 3, 5, 5))
        assert net.state_dict()["num_batches_tracked"] == 1
        torch.testing.assert_close(net.running_mean, torch.full((3,), 0.1))

    def test_counting_a_module_that_wants_gradients(self):
        conv = nn.Conv2d(3, 5, 1)
        checkpointed = Apply(lambda x: torch.utils.checkpoint.checkpoint(conv, x, use_reentrant=False))
        assert count(checkpointed, torch.zeros(1, 3, 7, 7, requires_grad=True)).total().macs == 15 * 49
        conv(torch.zeros(1, 3, 7, 7)).sum().backward()
        assert conv.weight.grad is not None

    def test_a_network_as_deep_as_resnet101_at_769_takes_at_most_a_second(self):
        net, image = deep_network(33), meta(1, 3, 769, 769)
        count(net, image)
        start = time.process_time()
        count(net, image)
        assert time.process_time() - start < 1

    def test_meta_allocates_nothing_at_2048x1024(self):
        net, image = deep_network(5), meta(8, 3, 1024, 2048)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        total = count(net, image).total()
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        assert total.activation_bytes > 10e9
        assert grown < 100e6


class TestUncounted:
    @pytest.fixture
    def scan(self, monkeypatch):
        monkeypatch.setattr(operators, "_formulas", dict(operators._formulas))
        monkeypatch.setattr(operators, "_by_operator", {})
        library = torch.library.Library("segattn_test", "FRAGMENT")
        library.define("scan(Tensor x) -> Tensor")
        library.impl("scan", lambda x: x.clone(), "CompositeExplicitAutograd")
        yield torch.ops.segattn_test.scan
        library._destroy()

    def test_an_operator_without_formula_is_an_error_that_says_what_to_do(self, scan):
        net = nn.Sequential(nn.ReLU(), Apply(scan))
        with pytest.raises(UncountedOperator) as error:
            count(net, torch.zeros(3))
        assert isinstance(error.value, ValueError)
        for part in ("segattn_test.scan", "module '1'", "(Apply)", "register(torch.ops.segattn_test.scan"):
            assert part in str(error.value)

    def test_a_registered_formula_is_used(self, scan):
        register(scan, lambda out, x: Work(macs=3 * x.numel(), other=out.numel()))
        total = count(Apply(scan), torch.zeros(5)).total()
        assert (total.macs, total.flops, total.study, total.other) == (15, 30, 30, 5)

    def test_the_last_formula_wins(self, scan):
        register(scan.default, lambda out, x: Work(other=7))
        assert count(Apply(scan), torch.zeros(5)).total().other == 7
        register(scan.default, lambda out, x: Work(other=11))
        assert count(Apply(scan), torch.zeros(5)).total().other == 11

    @pytest.mark.parametrize("operator", [torch.relu, "relu", None])
    def test_register_wants_an_operator(self, operator):
        with pytest.raises(ValueError, match=r"torch\.ops"):
            register(operator, lambda out, *args: Work())


def test_a_product_into_a_given_tensor_costs_what_it_costs_and_makes_no_activation():
    class Into(nn.Module):
        def forward(self, a, b, out):
            return torch.mm(a, b, out=out)

    tensors = [torch.empty(shape, device="meta") for shape in ((2, 3), (3, 5), (2, 5))]
    total = count(Into(), *tensors).total()
    assert (total.macs, total.activations) == (2 * 3 * 5, 0)
