"""What can be a backbone: names, strides, widths and parameters, from networks built on the meta device."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

import torch

from segattn import backbones
from segattn.backbones import families
from segattn.backbones.without_torchvision import import_timm
from segattn.catalogue import first_line

PREFIX = "timm:"


@dataclass(frozen=True)
class Entry:
    """A backbone at the smallest output stride that it has of 8 and 32."""

    name: str
    strides: tuple[int, ...]
    """Of its four maps, in pixels."""
    channels: tuple[int, ...]
    parameters: int


def describe(name: str) -> Entry:
    """Build a backbone on the meta device, which downloads and allocates nothing.

    >>> describe("resnet18").channels
    (64, 128, 256, 512)

    Raises:
        ValueError: no such backbone, or timm cannot build it.
    """
    with torch.device("meta"):
        try:
            body = backbones.create(name, output_stride=8)
        except ValueError:
            body = backbones.create(name, output_stride=32)  # raises the same for anything but the output stride
    strides: tuple[int, ...] = getattr(body, "strides", (4, 8, 8, 8))
    channels: tuple[int, ...] = body.channels  # type: ignore[assignment]
    return Entry(name, strides, channels, sum(parameter.numel() for parameter in body.parameters()))


def examples() -> dict[str, list[str]]:
    """By kind, the names of the built-in networks and the smallest of each family that this timm has; no timm, no families."""
    groups = {"built in": backbones.names()}
    if (timm := _timm()) is not None:
        for kind, group in families.FAMILIES.items():
            groups[kind] = [f"{PREFIX}{name}" for name in group.values() if timm.is_model(name)]
    return groups


def matching(pattern: str) -> list[str]:
    """Names that contain the pattern, or match it where it has `*`, `?` or `[`; case and a leading `timm:` do not matter.

    Raises:
        ValueError: none does; the message names what is near.
    """
    timm = _timm()
    everything = [*backbones.names(), *(f"{PREFIX}{name}" for name in (timm.list_models() if timm is not None else ()))]
    wanted = pattern.lower().removeprefix(PREFIX)
    if not any(letter in wanted for letter in "*?["):
        wanted = f"*{wanted.partition('.')[0]}*"
    names = [name for name in everything if fnmatch.fnmatchcase(name.removeprefix(PREFIX).lower(), wanted)]
    if names:
        return names
    if timm is None:
        raise ValueError(f"no backbone matches {pattern!r}; timm's need the extra: pip install 'segattn[timm]'")
    from segattn.backbones.timm import unknown

    raise ValueError(unknown(timm, pattern.removeprefix(PREFIX)))


def usable(names: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The names that can be backbones, and by reason those that cannot."""
    timm, can, cannot = _timm(), [], {}  # type: ignore[var-annotated]
    for name in names:
        architecture = name.removeprefix(PREFIX)
        refusal = None
        if name.startswith(PREFIX) and timm is not None:
            module = timm.model_entrypoint(architecture).__module__.rpartition(".")[2]
            refusal = families.refusal(module, architecture)
        if refusal is None:
            can.append(name)
        else:
            cannot.setdefault(f"{refusal.reason}; near: {PREFIX}{refusal.nearest}", []).append(name)
    return can, cannot


def described(names: Iterable[str]) -> tuple[list[Entry], dict[str, str]]:
    """Entries of the names, and why some cannot be built here, by name."""
    entries, faults = [], {}
    for name in names:
        try:
            entries.append(describe(name))
        except Exception as error:  # of timm's code, which is of another version or for another use
            faults[name] = str(error) if isinstance(error, ValueError) else first_line(error)
    return entries, faults


def _timm() -> ModuleType | None:
    try:
        return import_timm()
    except ImportError:
        return None
