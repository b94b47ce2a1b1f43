"""The formula of each operator; `register` adds one. The formulas and their rules are in formulas.py."""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

from segattn.profile import formulas
from segattn.profile.formulas import Formula, per_input, per_output

_PRODUCTS: dict[Formula, str] = {
    formulas.mm: "mm _int_mm",
    formulas.bmm: "bmm",
    formulas.baddbmm: "baddbmm",
    formulas.addbmm: "addbmm",
    formulas.mv: "mv dot vdot",
    formulas.addmv: "addmv",
    formulas.addmm: "addmm",
    formulas.linear: "linear",
    formulas.convolution: "convolution _convolution convolution_overrideable",
    formulas.attention: "scaled_dot_product_attention _scaled_dot_product_attention_math",
    formulas.fused_attention: """
        _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention
        _scaled_dot_product_cudnn_attention _scaled_dot_product_fused_attention_overrideable
        _scaled_dot_product_attention_math_for_mps""",
}

_OTHER: dict[Formula, str] = {
    per_output(1): """
        masked_fill bernoulli native_dropout _prelu_kernel prelu rrelu_with_noise log_sigmoid_forward gelu polar complex
        bucketize searchsorted isin hardswish rsub floor_divide addr""",
    per_output(2): "addcmul addcdiv glu",
    per_output(3): "lerp",
    per_output(5): "_softmax _log_softmax _safe_softmax",
    per_input(1): """
        sum nansum mean nanmean prod amax amin aminmax argmax argmin any all max min mode median nanmedian kthvalue cumsum
        cumprod cummax cummin _cummax_helper _cummin_helper count_nonzero col2im equal bincount histc unique_dim _unique2
        unique_consecutive trace nll_loss_forward nll_loss2d_forward""",
    per_input(2): "norm linalg_vector_norm",
    per_input(3): """
        var std var_mean std_mean logsumexp logcumsumexp _logcumsumexp mse_loss smooth_l1_loss huber_loss
        binary_cross_entropy binary_cross_entropy_with_logits""",
    formulas.batch_norm: "batch_norm native_batch_norm _native_batch_norm_legit _batch_norm_impl_index",
    formulas.batch_norm_eval: "_native_batch_norm_legit_no_training _batch_norm_no_update",
    formulas.batch_norm_training: "_batch_norm_with_update",
    formulas.layer_norm: "native_layer_norm",
    formulas.group_norm: "native_group_norm",
    formulas.rms_norm: "_fused_rms_norm",
    formulas.pooling(1): "avg_pool1d",
    formulas.pooling(2): "avg_pool2d max_pool2d_with_indices",
    formulas.pooling(3): "avg_pool3d max_pool3d_with_indices",
    formulas.adaptive_pooling: """
        _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d""",
    formulas.resized_from(2): "upsample_linear1d",
    formulas.resized_from(4): "upsample_bilinear2d",
    formulas.resized_from(8): "upsample_trilinear3d",
    formulas.resized_from(16): "upsample_bicubic2d",
    formulas.resized_antialiased(2): "_upsample_bilinear2d_aa",
    formulas.resized_antialiased(4): "_upsample_bicubic2d_aa",
    formulas.grid_sampled: "grid_sampler_2d grid_sampler_3d",
    formulas.added_at: "scatter_add index_add scatter_reduce",
    formulas.put: "index_put _index_put_impl_ _unsafe_index_put put",
    formulas.ordered: "sort topk argsort",
}

_FREE: dict[Formula, str] = {
    formulas.unmoved: """
        empty empty_like empty_strided empty_permuted new_empty new_empty_strided _unsafe_view _reshape_alias detach detach_
        alias lift lift_fresh set_ resize_ unsafe_split unsafe_split_with_sizes unsafe_chunk squeeze_ unsqueeze_ t_ transpose_
        as_strided_ item _local_scalar_dense is_same_size _has_compatible_shallow_copy_type""",
    formulas.copied: """
        clone contiguous _to_copy _conj_physical cat stack hstack vstack repeat flip roll rot90 tril triu im2col
        constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
        replication_pad3d masked_select nonzero upsample_nearest1d upsample_nearest2d upsample_nearest3d
        _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d pixel_shuffle pixel_unshuffle
        channel_shuffle native_channel_shuffle slice_scatter select_scatter diagonal_scatter as_strided_scatter diag_embed
        index_copy index_fill scatter masked_scatter repeat_interleave
        split_copy split_with_sizes_copy permute_copy view_copy slice_copy expand_copy transpose_copy unbind_copy _to_dense
        _unsafe_masked_index _copy_from""",
    formulas.copied_onto: "copy copy_",
    formulas.gathered: "index _unsafe_index index_select gather embedding take",
    formulas.filled: """
        full full_like new_full zeros zeros_like new_zeros ones ones_like new_ones zero fill eye arange linspace
        logspace scalar_tensor tril_indices triu_indices hann_window rand rand_like randn randn_like randint randint_like
        randperm bernoulli_ normal normal_ uniform uniform_ exponential_ random_ one_hot""",
}

_formulas: dict[Any, Formula] = {
    getattr(torch.ops.aten, name): formula
    for table in (_PRODUCTS, _OTHER, _FREE)
    for formula, names in table.items()
    for name in names.split()
    if hasattr(torch.ops.aten, name)  # not every version of torch has every operator
}
_formulas[torch.ops.aten.max.other] = _formulas[torch.ops.aten.min.other] = per_output(1)  # of two tensors
_by_operator: dict[OpOverload, Formula | None] = {}


def register(operator: Any, formula: Formula) -> None:
    """Set the formula of an operator; it replaces a built-in one.

    `operator` is one overload (`torch.ops.mylib.scan.default`) or all of them (`torch.ops.mylib.scan`);
    `formula(out, *args, **kwargs)` gets the output and the arguments of a call and returns its `Work`.

        >>> from segattn.profile.formulas import Work
        >>> register(torch.ops.aten._cdist_forward, lambda out, x, *rest: Work(other=3 * out.numel() * x.shape[-1]))

    Raises:
        ValueError: `operator` is not an operator of torch.ops.
    """
    if not isinstance(operator, (OpOverload, OpOverloadPacket)):
        raise ValueError(f"{operator!r} is not an operator; give one of torch.ops, such as torch.ops.mylib.scan")
    _formulas[operator] = formula
    _by_operator.clear()


def find(operator: OpOverload) -> Formula | None:
    """The formula of an operator; None if it has none (it may be composed of operators that have one)."""
    if operator not in _by_operator:
        _by_operator[operator] = _by_name(operator) or _by_schema(operator)
    return _by_operator[operator]


def _by_name(operator: OpOverload) -> Formula | None:
    return _formulas.get(operator) or _formulas.get(operator.overloadpacket)


def _by_schema(operator: OpOverload) -> Formula | None:
    if operator._can_decompose():
        return None
    if operator.is_view:
        return formulas.unmoved
    if torch.Tag.pointwise in operator.tags:
        return per_output(1)
    functional = _out_of_place(operator)
    return None if functional is None else _by_name(functional) or _by_schema(functional)


def _out_of_place(operator: OpOverload) -> OpOverload | None:
    """`aten.hardswish` for `aten.hardswish_`: the same work with another destination."""
    name = operator.overloadpacket.__name__
    if operator.namespace != "aten" or not name.endswith("_") or name.endswith("__"):
        return None
    packet = getattr(torch.ops.aten, name[:-1], None)
    return getattr(packet, operator._overloadname, None)
