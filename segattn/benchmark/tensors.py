"""The tensors that enter and leave a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


def tensors(nested: Any) -> Iterator[Tensor]:
    """The tensors in the arguments or the result of a module, in order."""
    if isinstance(nested, Tensor):
        yield nested
    elif isinstance(nested, dict | list | tuple):
        for value in nested.values() if isinstance(nested, dict) else nested:
            yield from tensors(value)


@contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[list[Tensor]]]:
    """The input tensors of `module` in each of its calls."""
    seen: list[list[Tensor]] = []

    def keep(module: nn.Module, inputs: Any) -> None:
        seen.append(list(tensors(inputs)))

    hook = module.register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()
