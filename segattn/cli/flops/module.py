"""`segattn flops --module`: the user's own network, by its dotted path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from segattn.catalogue import first_line, load_module
from segattn.profile import flops


def shape(text: str) -> tuple[int, ...]:
    """`769x769` or `769` as (1, 3, 769, 769); three numbers or more as the whole shape, batch first.

    Raises:
        ValueError: not of that form.
    """
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", text):
        raise ValueError(f"input {text!r} should be HEIGHTxWIDTH, such as 769x769, or a whole shape, such as 1x50x256")
    sizes = [int(part) for part in text.split("x")]
    if len(sizes) > 2:
        return tuple(sizes)
    return (1, 3, sizes[0], sizes[-1])


def build(path: str, device: str) -> nn.Module:
    """The module at `path`: a class or a function called without arguments, or a module itself; on `device`, in eval mode.

    Raises:
        ValueError: there is nothing at `path`, or it gives no module.
    """
    target = _find(path)
    network = target if isinstance(target, nn.Module) else _call(path, target, device)
    if not isinstance(network, nn.Module):
        raise ValueError(f"{path} gives {type(network).__name__}, no torch.nn.Module")
    return network.to(device).eval()


def count(net: nn.Module, size: tuple[int, ...], path: str, device: str) -> flops.Ledger:
    """The ledger of a network for one tensor of that shape.

    Raises:
        ValueError: the network cannot run, on `meta` or at all.
    """
    try:
        return flops.count(net, torch.zeros(size, device=device))
    except flops.UncountedOperator:
        raise
    except Exception as error:
        what = f"{path} cannot run on {device} with an input of shape {'x'.join(map(str, size))}: {first_line(error)}"
        if device != "meta":
            raise ValueError(what) from error
        raise ValueError(
            f"{what}. Tensors on meta have no values: code that reads them (item(), if x.sum() > 0, nonzero) or "
            "makes tensors on another device cannot run there. If that is it, --device cpu runs it for real"
        ) from error


def on_meta(net: nn.Module, size: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """The network and its input on `meta`, for the cross-check."""
    return net.to("meta"), torch.zeros(size, device="meta")


def _find(path: str) -> Any:
    module_name, _, name = path.replace(":", ".").rpartition(".")
    if not module_name:
        raise ValueError(f"--module {path} should be a dotted path such as mypkg.{path}")
    module = load_module(module_name, "--module")
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, dir(module), n=3)
        raise ValueError(
            f"--module {path}: {module_name} has no {name}" + (f"; near: {', '.join(near)}" if near else "")
        )
    return getattr(module, name)


def _call(path: str, factory: Callable[[], Any], device: str) -> Any:
    if not callable(factory):
        raise ValueError(
            f"--module {path} is {type(factory).__name__}; give a class, or a function that returns a module"
        )
    try:
        with torch.device(device):
            return factory()
    except Exception as error:
        first = error
    try:
        return factory()  # a constructor that computes with values cannot run on meta; the module may still
    except Exception as error:
        raise ValueError(
            f"{path}() fails: {first_line(error)}. It is called without arguments: give a function that needs none "
            "and returns the module"
        ) from first
