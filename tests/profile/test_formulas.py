"""Every class of operator against its closed form, by hand, on prime sizes."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segattn.profile.flops import count


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def cost(function, *inputs):
    return count(Apply(function), *inputs).total()


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, device="meta", dtype=dtype)


class TestConvolution:
    def test_counts_one_multiply_add_per_tap_channel_and_output(self):
        total = cost(lambda x, w: F.conv2d(x, w, stride=2, padding=1), meta(2, 3, 11, 13), meta(5, 3, 3, 3))
        outputs = 2 * 5 * 6 * 7
        assert total.macs == outputs * 3 * 3 * 3
        assert total.flops == 2 * outputs * 27
        assert total.study == 2 * outputs * (27 + 1)
        assert total.other == 0
        assert total.activation_bytes == 4 * outputs

    def test_bias_changes_other_only(self):
        x, w = meta(2, 3, 11, 13), meta(5, 3, 3, 3)
        without, with_bias = cost(F.conv2d, x, w), cost(F.conv2d, x, w, meta(5))
        assert (with_bias.macs, with_bias.study) == (without.macs, without.study)
        assert with_bias.other == 2 * 5 * 9 * 11

    def test_groups_see_their_own_channels(self):
        total = cost(lambda x, w: F.conv2d(x, w, groups=3), meta(1, 15, 7, 7), meta(6, 5, 3, 3))
        assert total.macs == 6 * 5 * 5 * 5 * 9
        assert total.study == 2 * 5 * 5 * (5 * 9 + 1) * 6

    def test_depthwise(self):
        total = cost(lambda x, w: F.conv2d(x, w, groups=7), meta(1, 7, 5, 5), meta(7, 1, 3, 3))
        assert total.macs == 7 * 3 * 3 * 9

    @pytest.mark.parametrize("dims", [1, 3])
    def test_other_dimensions(self, dims):
        conv = (F.conv1d, F.conv3d)[dims == 3]
        total = cost(conv, meta(1, 2, *(7,) * dims), meta(3, 2, *(3,) * dims))
        assert total.macs == 3 * 5**dims * 2 * 3**dims

    def test_padding_given_as_a_word(self):
        total = cost(lambda x, w: F.conv2d(x, w, padding="same"), meta(1, 2, 5, 7), meta(3, 2, 3, 3))
        assert total.macs == 5 * 7 * 3 * 2 * 9

    def test_transposed_spreads_every_input_over_its_window(self):
        total = cost(lambda x, w: F.conv_transpose2d(x, w, stride=2), meta(2, 3, 5, 7), meta(3, 11, 3, 3))
        outputs = 2 * 11 * 11 * 15
        assert total.macs == 2 * 3 * 5 * 7 * 11 * 9
        assert total.study == 2 * (total.macs + outputs)


class TestProducts:
    def test_mm(self):
        total = cost(torch.mm, meta(3, 5), meta(5, 7))
        assert (total.macs, total.study, total.other) == (105, 210, 0)

    def test_bmm_and_matmul_agree(self):
        for product in (torch.bmm, torch.matmul):
            assert cost(product, meta(2, 3, 5), meta(2, 5, 7)).macs == 210

    def test_matmul_broadcasts(self):
        assert cost(torch.matmul, meta(2, 11, 3, 5), meta(5, 7)).macs == 2 * 11 * 3 * 5 * 7

    def test_baddbmm_adds_its_summand_in_other(self):
        total = cost(torch.baddbmm, meta(2, 3, 7), meta(2, 3, 5), meta(2, 5, 7))
        assert (total.macs, total.study, total.other) == (210, 420, 42)

    def test_baddbmm_without_its_summand(self):
        assert cost(lambda *x: torch.baddbmm(*x, beta=0), meta(2, 3, 7), meta(2, 3, 5), meta(2, 5, 7)).other == 0

    def test_addbmm_sums_over_the_batch(self):
        total = cost(torch.addbmm, meta(3, 7), meta(2, 3, 5), meta(2, 5, 7))
        assert (total.macs, total.other) == (210, 21)

    def test_vectors(self):
        assert (cost(torch.mv, meta(3, 5), meta(5)).macs, cost(torch.dot, meta(5), meta(5)).macs) == (15, 5)
        total = cost(torch.addmv, meta(3), meta(3, 5), meta(5))
        assert (total.macs, total.study, total.other) == (15, 2 * 3 * (5 + 1), 3)

    def test_einsum_is_its_products(self):
        assert (
            cost(lambda a, b: torch.einsum("bchw,bhd->bwcd", a, b), meta(2, 3, 5, 7), meta(2, 5, 3)).macs
            == 2 * 7 * 3 * 5 * 3
        )

    @pytest.mark.parametrize(
        "outer",
        [torch.outer, lambda a, b: a[:, None] @ b[None], lambda a, b: torch.einsum("i,j->ij", a, b)],
        ids=["outer", "matmul", "einsum"],
    )
    def test_an_outer_product_adds_nothing_up_and_is_other(self, outer):
        total = cost(outer, meta(5), meta(7))
        assert (total.macs, total.study, total.other) == (0, 0, 35)


class TestLinear:
    @pytest.mark.parametrize("shape", [(11, 3), (2, 11, 3), (2, 5, 7, 3)])
    @pytest.mark.parametrize("bias", [True, False])
    def test_is_a_1x1_convolution_on_a_line(self, shape, bias):
        total = count(nn.Linear(3, 13, bias=bias, device="meta"), meta(*shape)).total()
        n = math.prod(shape[:-1])
        assert total.macs == n * 3 * 13
        assert total.study == 2 * n * (3 + 1) * 13
        assert total.other == (13 * n if bias else 0)
        assert total.parameters == 3 * 13 + (13 if bias else 0)

    def test_agrees_with_the_1x1_convolution(self):
        linear = count(nn.Linear(5, 7, device="meta"), meta(11 * 13, 5)).total()
        conv = count(nn.Conv2d(5, 7, 1, device="meta"), meta(1, 5, 11, 13)).total()
        assert linear == conv

    def test_non_contiguous_input_costs_the_same(self):
        linear = nn.Linear(3, 13, device="meta")
        assert count(linear, meta(3, 5, 2).transpose(0, 2)).total().study == count(linear, meta(2, 5, 3)).total().study

    def test_addmm_is_linear(self):
        total = cost(torch.addmm, meta(7), meta(3, 5), meta(5, 7))
        assert (total.macs, total.study, total.other) == (105, 2 * 3 * (5 + 1) * 7, 21)


class TestAttention:
    def explicit(self, q, k, v):
        return ((q * q.shape[-1] ** -0.5) @ k.mT).softmax(-1) @ v

    @pytest.mark.parametrize("device", ["meta", "cpu"])
    def test_fused_equals_the_two_products_softmax_and_scale(self, device):
        q, k, v = (torch.ones(2, 3, n, d, device=device) for n, d in ((5, 7), (11, 7), (11, 13)))
        fused, explicit = cost(F.scaled_dot_product_attention, q, k, v), cost(self.explicit, q, k, v)
        assert fused.macs == 2 * 3 * 5 * 11 * (7 + 13)
        assert (fused.macs, fused.study, fused.other) == (explicit.macs, explicit.study, explicit.other)
        assert fused.other == 2 * 3 * 5 * (5 * 11 + 7)
        assert fused.activations == 2 * 3 * 5 * 13  # the map is never written
        assert explicit.activations > 2 * 3 * 5 * 11

    def test_mask_costs_one_addition_per_score(self):
        q, mask = meta(2, 3, 5, 7), meta(5, 5)
        masked = cost(lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m), q, mask)
        plain = cost(lambda q: F.scaled_dot_product_attention(q, q, q), q)
        assert masked.other - plain.other == 2 * 3 * 5 * 5
        assert masked.macs == plain.macs

    @pytest.mark.parametrize(
        ("kernel", "options"),
        [
            ("_scaled_dot_product_flash_attention_for_cpu", ()),
            ("_scaled_dot_product_flash_attention", ()),
            ("_scaled_dot_product_efficient_attention", (None, False)),
            ("_scaled_dot_product_cudnn_attention", (None, False)),
            ("_scaled_dot_product_attention_math", ()),
        ],
    )
    def test_every_kernel_costs_the_same(self, kernel, options):
        q = meta(2, 3, 5, 8)
        op = getattr(torch.ops.aten, kernel)
        total, expected = cost(lambda q: op(q, q, q, *options), q), cost(F.scaled_dot_product_attention, q, q, q)
        assert (total.macs, total.study, total.other) == (expected.macs, expected.study, expected.other)

    def test_grouped_queries_count_every_query_head(self):
        q, k = meta(2, 6, 5, 7), meta(2, 3, 11, 7)
        total = cost(lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True), q, k)
        assert total.macs == 2 * 6 * 5 * 11 * (7 + 7)

    @pytest.mark.parametrize("device", ["meta", "cpu"])
    def test_multi_head_attention_module_has_no_fast_path(self, device):
        attention = nn.MultiheadAttention(6, 2, batch_first=True, device=device).eval()
        x = torch.ones(3, 5, 6, device=device)
        assert count(attention, x, x, x).total().macs == 3 * (5 * 6 * 18 + 2 * 2 * 5 * 5 * 3 + 5 * 6 * 6)
        assert torch.backends.mha.get_fastpath_enabled()


X = meta(2, 3, 5, 7)
ELEMENTS = 2 * 3 * 5 * 7


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (torch.relu, ELEMENTS),
        (lambda x: F.relu_(x.clone()), ELEMENTS),
        (torch.sigmoid, ELEMENTS),
        (F.hardswish, ELEMENTS),
        (lambda x: F.hardswish(x, inplace=True), ELEMENTS),
        (lambda x: x + x, ELEMENTS),
        (lambda x: x > 0, ELEMENTS),
        (lambda x: x.masked_fill(x > 0, -math.inf), 2 * ELEMENTS),
        (lambda x: torch.addcmul(x, x, x), 2 * ELEMENTS),
        (lambda x: x.softmax(1), 5 * ELEMENTS),
        (lambda x: x.log_softmax(1), 5 * ELEMENTS),
        (lambda x: x.sum(1), ELEMENTS),
        (lambda x: x.mean((2, 3)), ELEMENTS),
        (lambda x: x.amax(1), ELEMENTS),
        (lambda x: x.max(1).values, ELEMENTS),
        (lambda x: torch.max(x, x[:1, :1]), ELEMENTS),
        (lambda x: x.argmax(1), ELEMENTS),
        (lambda x: torch.linalg.vector_norm(x, dim=1), 2 * ELEMENTS),
        (lambda x: x.var(1), 3 * ELEMENTS),
        (lambda x: F.layer_norm(x, (7,)), 4 * ELEMENTS),
        (lambda x: F.layer_norm(x, (7,), x[0, 0, 0], x[0, 0, 0]), 5 * ELEMENTS),
        (lambda x: F.group_norm(x, 3), 4 * ELEMENTS),
        (lambda x: F.batch_norm(x, None, None, training=True), 4 * ELEMENTS),
        (lambda x: F.max_pool2d(x, 3), 2 * 3 * 1 * 2 * 9),
        (lambda x: F.max_pool2d(x, (3, 2)), 2 * 3 * 1 * 3 * 6),
        (lambda x: F.avg_pool2d(x, 2), 2 * 3 * 2 * 3 * 4),
        (lambda x: F.adaptive_avg_pool2d(x, 1), ELEMENTS),
        # 3 bins over 5 span 0-2, 1-4, 3-5: 7 rows; over 7 0-3, 2-5, 4-7: 9 columns
        (lambda x: F.adaptive_avg_pool2d(x, 3), 2 * 3 * 7 * 9),
        (lambda x: F.interpolate(x, (11, 13), mode="bilinear"), 7 * 2 * 3 * 11 * 13),
        (lambda x: F.interpolate(x, (11, 13), mode="bicubic"), 31 * 2 * 3 * 11 * 13),
        (lambda x: F.interpolate(x, (11, 13), mode="nearest"), 0),
        (lambda x: F.interpolate(x, (2, 3), mode="bilinear", antialias=True), (2 * 6 * 6 - 1) * 2 * 3 * 2 * 3),
        # from 5 x 7 to 2 x 3 the window is 3 times as wide: 12 x 12 pixels; to 11 x 13 it is 4 x 4
        (lambda x: F.interpolate(x, (2, 3), mode="bicubic", antialias=True), (2 * 12 * 12 - 1) * 2 * 3 * 2 * 3),
        (lambda x: F.interpolate(x, (11, 13), mode="bicubic", antialias=True), 31 * 2 * 3 * 11 * 13),
        (lambda x: F.grid_sample(x, x.new_empty(2, 11, 13, 2), align_corners=False), 7 * 2 * 3 * 11 * 13),
        (lambda x: F.unfold(x, 3, padding=1), 0),
        (lambda x: F.fold(F.unfold(x, 3, padding=1), (5, 7), 3, padding=1), 9 * ELEMENTS),
        (lambda x: F.pad(x, (1, 1)), 0),
        (lambda x: torch.cat([x, x]), 0),
        (lambda x: x.permute(0, 2, 3, 1).contiguous(), 0),
        (lambda x: x.flatten(2).mT, 0),
        (lambda x: x[:, [0, 2]], 0),
        (lambda x: x.topk(2).values, 3 * ELEMENTS),
        (lambda x: F.dropout(x, training=False), 0),
    ],
)
def test_element_operations_follow_the_documented_weights(function, expected):
    total = cost(function, X)
    assert total.other == expected
    assert (total.macs, total.study) == (0, 0)


@pytest.mark.parametrize(("training", "expected"), [(False, 2 * ELEMENTS), (True, 5 * ELEMENTS + 1)])
def test_batch_norm_module(training, expected):  # + 1: in training it counts its batches
    assert count(nn.BatchNorm2d(3, device="meta").train(training), X).total().other == expected


class TestBytes:
    def test_views_and_allocations_move_nothing(self):
        total = cost(lambda x: x.flatten(2).mT[0].expand(2, 35, 3).new_empty(1000), X)
        assert (total.bytes, total.activations) == (0, 0)

    def test_each_operand_is_read_once_and_the_result_written(self):
        assert cost(lambda x: x * x, X).bytes == 2 * 4 * ELEMENTS
        assert cost(lambda x: x + x.new_empty(7), X).bytes == 4 * (2 * ELEMENTS + 7)

    def test_an_expanded_operand_is_read_once(self):
        assert cost(lambda x: x[:1].expand(2, 3, 5, 7).clone(), X).bytes == 4 * (ELEMENTS // 2 + ELEMENTS)

    def test_in_place_writes_but_makes_no_activation(self):
        total = cost(lambda x: x.relu_(), X)
        assert (total.bytes, total.activations) == (2 * 4 * ELEMENTS, 0)

    def test_dtype_is_the_actual_one(self):
        half = cost(torch.relu, X.to(torch.bfloat16))
        assert (half.activations, half.activation_bytes) == (ELEMENTS, 2 * ELEMENTS)

    def test_gathering_reads_what_it_takes(self):
        index = meta(2, dtype=torch.int64)
        assert cost(lambda x, i: x.index_select(1, i), meta(1, 1000, 3), index).bytes == 4 * 6 + 2 * 8 + 4 * 6


@settings(max_examples=50, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    groups=st.integers(1, 3),
    size=st.tuples(st.integers(7, 13), st.integers(7, 13)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    bias=st.booleans(),
)
def test_any_convolution(batch, channels, groups, size, kernel, stride, dilation, bias):
    inside, outside = (groups * c for c in channels)
    conv = nn.Conv2d(inside, outside, kernel, stride, dilation=dilation, groups=groups, bias=bias, device="meta")
    h, w = ((n - dilation * (kernel - 1) - 1) // stride + 1 for n in size)
    total = count(conv, meta(batch, inside, *size)).total()
    assert total.macs == batch * h * w * (inside // groups) * kernel**2 * outside
    assert total.study == batch * 2 * h * w * (inside // groups * kernel**2 + 1) * outside
    assert total.other == (batch * outside * h * w if bias else 0)
    assert total.parameters == outside * (inside // groups * kernel**2 + bias)
