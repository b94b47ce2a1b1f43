"""How a network is executed in training: device, memory format, frozen norms, activation checkpointing, compilation.

None of these changes the names of parameters, so checkpoints do not depend on them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MethodType

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from segattn.config import Optimization
from segattn.device import resolve_device, resolve_precision
from segattn.model import SegmentationModel
from segattn.training import processes
from segattn.training.parts import freeze, refuse_random, still


def accelerator(precision: str, device: str) -> Accelerator:
    """Device, processes and mixed precision of one training run.

    Raises:
        ValueError: as `resolve_device`.
    """
    resolved = resolve_device(device)
    precision = resolve_precision(precision, resolved)
    AcceleratorState._reset_state(reset_partial_state=False)  # a study trains several networks in one process
    return Accelerator(
        cpu=resolved.type == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=processes.PATIENCE)],
    )


def total(accelerator: Accelerator) -> Callable[[Tensor], Tensor]:
    """The sum of a tensor over all processes, on the device of the run."""

    def summed(part: Tensor) -> Tensor:
        whole: Tensor = accelerator.reduce(part.to(accelerator.device), "sum")
        return whole

    return summed


def arrange(model: SegmentationModel, optimization: Optimization, *, synchronize: bool) -> SegmentationModel:
    """Prepare the network as set in the options; `synchronize` computes batch-norm statistics over all processes.

    Raises:
        ValueError: as `checkpoint_activations`.
    """
    if synchronize:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if optimization.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if optimization.train == "head":
        refuse_random(model.backbone, "optimization.train=head")
        still(model.backbone.requires_grad_(False))
    if optimization.freeze:
        freeze(model, optimization)
    if optimization.freeze_norm:
        freeze_norms(model)
    if optimization.activation_checkpointing:
        checkpoint_activations(model.backbone)
    if optimization.compile:
        model.compile()
    return model


def freeze_norms(model: nn.Module) -> None:
    """Keep batch norms in eval mode, where they use their running statistics, also after `model.train()`."""

    def stay(self: nn.Module, mode: bool = True) -> nn.Module:
        self.training = False
        return self

    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train = MethodType(stay, module)  # type: ignore[method-assign]
            module.eval()


def checkpoint_activations(backbone: nn.Module) -> None:
    """Store only the inputs of the residual blocks; the backward pass recomputes the rest.

    The running statistics of batch norms are updated in the forward pass only. Networks of timm recompute what timm chooses,
    blocks or stages.

    Raises:
        ValueError: neither one of segattn's ResNets nor a network of timm that can recompute and has no batch norm to train.
    """
    blocks = [module for module in backbone.modules() if getattr(module, "recomputable", False)]
    if not blocks and (fault := _checkpointed_by_timm(backbone)):
        raise ValueError(f"activation checkpointing is {fault}; set optimization.activation_checkpointing to False")
    for block in blocks:
        block.forward = functools.partial(_recomputed, block, block.forward)


def _checkpointed_by_timm(backbone: nn.Module) -> str:
    """Let a network of timm recompute its activations; why it cannot, or nothing."""
    name, network = getattr(backbone, "name", type(backbone).__name__), getattr(backbone, "network", None)
    inner = getattr(network, "model", network)  # timm wraps some networks to get at their maps
    switch = getattr(network, "set_grad_checkpointing", None) or getattr(inner, "set_grad_checkpointing", None)
    if switch is None:
        return f"for segattn's ResNets and networks of timm, not for {name}"
    if any(isinstance(module, _BatchNorm) and module.training for module in backbone.modules()):
        # timm recomputes them in training mode, which would count each batch twice in the running statistics
        return f"not for timm:{name}, which has batch norms, unless optimization.freeze_norm keeps them as they are"
    try:
        switch(True)
    except AssertionError as error:  # of networks whose authors did not write it
        return f"not for timm:{name} ({error})"
    return ""


def _recomputed(block: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not (block.training and torch.is_grad_enabled()):
        return forward(x)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _still_statistics(block)

    result: Tensor = checkpoint(forward, x, use_reentrant=False, context_fn=contexts)
    return result


@contextmanager
def _still_statistics(block: nn.Module) -> Iterator[None]:
    """Batch norms update copies of their statistics; the autograd graph of the forward pass refers to the originals."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    originals = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    _set_buffers(norms, [{name: value.clone() for name, value in own.items()} for own in originals])
    try:
        yield
    finally:
        _set_buffers(norms, originals)


def _set_buffers(modules: Sequence[nn.Module], buffers: Sequence[dict[str, Tensor]]) -> None:
    for module, own in zip(modules, buffers, strict=True):
        for name, value in own.items():
            setattr(module, name, value)
