"""Predicts the peak memory of a computation without running it, by tracking every storage from allocation to release.

The computation runs on fake tensors, which have shapes and strides but no data. A storage lives from the operator that
creates it until the last tensor, view or node of the autograd graph releases it, as with real tensors; views and in-place
operators add none. What a kernel allocates internally is added for the duration of its call by a formula (`scratch.py`). Fused
attention is one operator that keeps its output and a logarithm per query (`fused_attention.py`); fake tensors alone would
decompose it.

    >>> watch = Liveness("cpu")
    >>> with torch.device("meta"):
    ...     net = nn.Linear(5, 7, bias=False)
    >>> x = watch.tensor(3, 5)
    >>> watch.adopt(net, "weights")
    >>> with watch:
    ...     y = net(x)
    >>> watch.settle("activations")
    >>> watch.peak()  # x: 3 x 5, weights: 7 x 5, y: 3 x 7 numbers of 4 bytes
    Peak(total=284, parts={'input': 60, 'weights': 140, 'activations': 84}, operator='aten.mm.default')
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from segattn.profile.formulas import tensors_in
from segattn.profile.fused_attention import attend
from segattn.profile.scratch import scratch_bytes

Device = Literal["cpu", "cuda"]
_IS_CUDA = torch.Tensor.is_cuda.__get__  # type: ignore[attr-defined]
CUDA_BLOCK = 512  # torch's caching allocator rounds every request up to a multiple of this
# Operators that CUDA's autocast runs in float32 and the CPU's does not (torch's documentation, "CUDA Ops that can autocast to
# float32"), as far as networks use them under autocast.
_WIDENED = """softmax log_softmax softmin sum prod cumsum cumprod norm exp expm1 log log10 log2 log1p pow __pow__ __rpow__
    reciprocal rsqrt softplus layer_norm group_norm cosine_similarity cross_entropy nll_loss mse_loss dist renorm"""
_WIDENED_NAMES = frozenset(_WIDENED.split())


@dataclass(eq=False)
class _Storage:
    """One allocation, and when it began and ended; time counts allocations and frees."""

    bytes: int
    born: int
    kind: str
    died: int | None = None


@dataclass(frozen=True)
class Peak:
    """The most bytes held at once, and what held them."""

    total: int
    parts: dict[str, int]
    """Bytes by kind: the kinds named in `adopt`, `tensor`, `name` and `settle`; `temporary` is the rest: short-lived tensors, and
    the internal memory of the kernel that runs."""
    operator: str
    """The operator that ran at the peak."""


@dataclass(eq=False)
class Liveness:
    """Tracks what runs inside `with`, as if on `device`, in one process. That code must not read the value of a tensor.

    Raises:
        ValueError: an unknown device.
    """

    device: Device = "cpu"
    live: int = 0
    """Bytes held now."""
    _storages: list[_Storage] = field(default_factory=list)
    _known: dict[int, tuple[Any, _Storage]] = field(default_factory=dict)
    _highest: int = 0
    _highest_at: tuple[int, int, str] = (0, 0, "")  # time, scratch bytes, operator
    _time: int = 0

    def __post_init__(self) -> None:
        if self.device not in get_args(Device):
            raise ValueError(f"device {self.device!r} is not known here; use one of {', '.join(get_args(Device))}")
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)

    def __enter__(self) -> Liveness:
        self._stack = ExitStack()
        multithreading = torch.autograd.set_multithreading_enabled(
            False
        )  # so that the modes also apply to the backward pass
        modes = (self.fake, _Recorder(self), _Kernels(self.device))
        for context in (multithreading, *modes, _attention_on(self.device), _every_class()):
            self._stack.enter_context(context)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    def tensor(
        self,
        *shape: int,
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
        kind: str = "input",
    ) -> Tensor:
        """A tensor of that shape, which counts while it is referenced; create it outside `with`."""
        tensor = self._faked(torch.empty(shape, dtype=dtype, device="meta", memory_format=memory_format))
        self._hold([tensor], kind)
        return tensor

    def adopt(self, module: nn.Module, kind: str) -> None:
        """Take over a module on `meta`, outside `with`: its parameters and buffers count from now on."""
        adopted: dict[int, Tensor] = {}
        for child in module.modules():
            for own in (child._parameters, child._buffers):
                for name, tensor in own.items():
                    if tensor is None:
                        continue
                    if id(tensor) not in adopted:
                        adopted[id(tensor)] = self._adopted(tensor)
                    own[name] = adopted[id(tensor)]  # type: ignore[assignment]
        self._hold(adopted.values(), kind)

    def name(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Set the kind of tensors that were created meanwhile, such as gradients."""
        for tensor in tensors:
            known = self._known.get(tensor.untyped_storage()._cdata)
            if known is not None:
                known[1].kind = kind

    def settle(self, kind: str) -> None:
        """Set the kind of everything that still exists and was temporary until now."""
        for _, storage in self._known.values():
            if storage.kind == "temporary":
                storage.kind = kind

    def peak(self) -> Peak:
        """The peak so far."""
        time, scratch, operator = self._highest_at
        parts: dict[str, int] = {}
        for storage in self._storages:
            if storage.born <= time and (storage.died is None or storage.died > time):
                parts[storage.kind] = parts.get(storage.kind, 0) + storage.bytes
        if scratch:
            parts["temporary"] = parts.get("temporary", 0) + scratch
        return Peak(self._highest, parts, operator)

    def forget(self) -> None:
        """Reset the peak to what is held now."""
        self._highest, self._highest_at = self.live, (self._time, 0, "")

    def ran(self, operator: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Track the result of an operator that has run, and its internal memory."""
        argument_keys = {tensor.untyped_storage()._cdata for tensor in tensors_in(*args, *kwargs.values())}
        new = [tensor for tensor in tensors_in(out) if tensor.untyped_storage()._cdata not in argument_keys]
        self._hold(new, "temporary", str(operator))
        inside = scratch_bytes(self.device, operator, args, out)
        if inside and self.live + inside > self._highest:
            self._highest, self._highest_at = self.live + inside, (self._time, inside, str(operator))

    def _hold(self, tensors: Iterable[Tensor], kind: str, operator: str = "") -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key in self._known:
                continue
            self._time += 1
            size = storage.nbytes()
            if self.device == "cuda":
                size = -(-size // CUDA_BLOCK) * CUDA_BLOCK
            entry = _Storage(size, self._time, kind)
            self._storages.append(entry)
            self._known[key] = (weakref.ref(storage, lambda _, key=key: self._release(key)), entry)  # type: ignore[misc]
            self.live += size
        if self.live > self._highest:
            self._highest, self._highest_at = self.live, (self._time, 0, operator)

    def _release(self, key: int) -> None:
        _, entry = self._known.pop(key)
        self._time += 1
        entry.died = self._time
        self.live -= entry.bytes

    def _adopted(self, tensor: Tensor) -> Tensor:
        fake = self._faked(tensor)
        return nn.Parameter(fake, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake

    def _faked(self, meta: Tensor) -> Tensor:
        with torch.no_grad():
            bare = torch.empty_strided(meta.shape, meta.stride(), dtype=meta.dtype, device="meta")
            # Always on the CPU: without a GPU, torch has no fake CUDA tensors. `_Kernels` does the rest.
            return FakeTensor(self.fake, bare, torch.device("cpu"))


class _Recorder(TorchDispatchMode):
    """Reports each operator that runs, below autograd."""

    def __init__(self, watch: Liveness) -> None:
        super().__init__()
        self.watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            # Code reads a value, such as the loss for a log, or the number of AdamW's steps, by which it divides.
            return 1.0 if args[0].is_floating_point() else 0
        out = func(*args, **kwargs)
        self.watch.ran(func, args, kwargs, out)
        return out


_ATTENTION = nn.functional.scaled_dot_product_attention


@contextmanager
def _attention_on(device: Device) -> Iterator[None]:
    """Attention as on `device` also where blocks are recomputed in the backward pass, in which no function mode is active."""

    def attention(*args: Any, **kwargs: Any) -> Tensor:
        if torch._C._len_torch_function_stack():  # a mode is active, `_Kernels`
            return _ATTENTION(*args, **kwargs)
        return attend(device, *args, **kwargs)

    nn.functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = _ATTENTION


@contextmanager
def _every_class() -> Iterator[None]:
    """A row of truth values that a loss reads, which classes occur in the labels, is all true: it needs the most then."""
    read = FakeTensor.tolist

    def tolist(tensor: FakeTensor) -> Any:
        return [True] * len(tensor) if tensor.dtype == torch.bool and tensor.ndim == 1 else read(tensor)

    FakeTensor.tolist = tolist  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        FakeTensor.tolist = read  # type: ignore[method-assign]


class _Kernels(TorchFunctionMode):
    """Makes fake CPU tensors look like those of `device`, and replaces operators that torch runs differently there."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _ATTENTION:
            return attend(self.device, *args, **kwargs)
        if func is torch.Tensor.__getitem__ and isinstance(args[1], Tensor) and args[1].dtype == torch.bool:
            return args[0].flatten()[
                :0
            ]  # the number of true values is unknown; none is assumed (a search for wrong labels)
        if self.device == "cuda":
            if func == _IS_CUDA:
                return True
            if torch.is_autocast_enabled("cpu") and getattr(func, "__name__", "") in _WIDENED_NAMES:
                args = tuple(_wide(value) for value in args)
        return func(*args, **kwargs)


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16) else value
