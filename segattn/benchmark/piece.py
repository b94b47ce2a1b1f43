"""A case as a task: the module, random inputs and one pass. This is the target of the processes that measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from segattn.benchmark import forms
from segattn.benchmark.cases import PARTS, TINY, Prepared, build_head, build_network
from segattn.benchmark.tensors import tensors
from segattn.device import DTYPES, autocast, set_tf32
from segattn.profile.worker import Task
from segattn.records.bench import Case

Pass = Callable[[], Any]


def task(case: dict[str, Any], prepared: dict[str, Any], device: str, seed: int) -> Task:
    """The task of a case (`Case` and `Prepared` as decoded JSON).

    The warm-up is the same pass with a tiny image. What is compiled for one size is warmed up by the pass itself.
    """
    chosen, shapes = msgspec.convert(case, Case), msgspec.convert(prepared, Prepared)
    assert chosen.part in PARTS
    torch.manual_seed(seed)
    set_tf32(chosen.dtype == "tf32")
    if chosen.part == "network" and chosen.phase == "training":
        return _training_of_a_network(chosen, device)
    return passes(chosen, shapes, _module(chosen, shapes, device), device)


def passes(case: Case, prepared: Prepared, module: nn.Module, device: str) -> Task:
    """The task that runs a case's pass on a module."""
    make = _inference if case.phase == "inference" else _training
    run = make(case, module, _inputs(case, prepared.inputs, device), prepared.gradients)
    first = (
        run
        if case.compile or forms.for_one_size(case)
        else make(case, module, _inputs(case, prepared.tiny_inputs, device), ())
    )

    def warm_up() -> None:
        first()
        module.zero_grad()  # the gradients count as memory of a pass

    return Task(run, warm_up)


def _module(case: Case, prepared: Prepared, device: str) -> nn.Module:
    if case.form != "eager":
        return forms.network(case, prepared.file, device)
    whole: nn.Module = (
        build_network(case, device) if case.part == "network" else build_head(case, prepared.channels, device)
    )
    module = whole.get_submodule(prepared.path).train(case.phase == "training")
    if case.channels_last:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if case.compile:
        module.compile()
    return module


def _inputs(case: Case, shapes: Sequence[Sequence[int]], device: str) -> list[Tensor]:
    """Images in fp32; maps as preceding convolutions would return them: in the arithmetic of the case, non-negative."""
    memory_format = torch.channels_last if case.channels_last else torch.contiguous_format
    inputs = []
    for shape in shapes:
        one = torch.randn(*shape, device=device)
        if case.part != "network":
            one = one.relu_().mul_(case.feature_scale).to(DTYPES[case.dtype])
        inputs.append(one.to(memory_format=memory_format) if one.ndim == 4 else one)
    return inputs


def _inference(case: Case, module: nn.Module, inputs: list[Tensor], gradients: Sequence[Any]) -> Pass:
    def run() -> Any:
        with torch.no_grad(), autocast(case.dtype, inputs[0].device):
            return module(inputs) if case.part == "head" else module(*inputs)

    return run


def _training(case: Case, module: nn.Module, inputs: list[Tensor], gradients: Sequence[Sequence[int]]) -> Pass:
    """Forward, and backward from a random gradient; gradients of the inputs too, because the backbone needs them."""
    drawn = [torch.randn(*shape, device=inputs[0].device) for shape in gradients]

    def run() -> None:
        for one in inputs:
            one.grad = None
            one.requires_grad_()
        module.zero_grad()
        with autocast(case.dtype, inputs[0].device):
            outputs = list(tensors(module(inputs) if case.part == "head" else module(*inputs)))
        grads = drawn or [torch.ones_like(out) for out in outputs]
        pairs = [(out, grad.to(out.dtype)) for out, grad in zip(outputs, grads, strict=True) if out.requires_grad]
        torch.autograd.backward([out for out, _ in pairs], [grad for _, grad in pairs])

    return run


def _training_of_a_network(case: Case, device: str) -> Task:
    """The step of `segattn train`: loss, gradient and SGD; random labels."""
    from accelerate import Accelerator

    from segattn.config import Optimization
    from segattn.training import execution
    from segattn.training.optimization import optimizer_of
    from segattn.training.step import Step

    precision = case.dtype if case.dtype in ("bf16", "fp16") else "no"
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
    settings = Optimization(batch_size=case.batch, channels_last=case.channels_last, compile=case.compile)
    model = execution.arrange(build_network(case, device).train(), settings, synchronize=False)
    prepared, optimizer = accelerator.prepare(model, optimizer_of(model, settings))
    step = Step(settings, accelerator, prepared, optimizer, model)
    batch, tiny = _batch(case, case.batch, case.input_size, device), _batch(case, 2, TINY, device)

    def warm_up() -> None:
        step(batch if case.compile else tiny)
        optimizer.zero_grad(set_to_none=True)
        optimizer.state.clear()  # the momentum counts as memory of a step

    return Task(lambda: step(batch), warm_up=warm_up)


def _batch(case: Case, number: int, size: tuple[int, int], device: str) -> Any:
    memory_format = torch.channels_last if case.channels_last else torch.contiguous_format
    images = torch.randn(number, case.in_channels, *size, device=device).to(memory_format=memory_format)
    labels = torch.randint(0, case.num_classes, (number, *size), device=device)
    return {"image": images, "label": labels, "names": [], "indices": []}
