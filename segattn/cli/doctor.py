"""`segattn doctor`: this machine and this installation, as text for a bug report."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from packaging.requirements import Requirement

from segattn import __version__, zoo
from segattn.cli.arguments import parse
from segattn.profile import in_use
from segattn.profile.environment import environment, fast_types

GIVES = {
    "timm": "backbones of timm: ConvNeXt, Swin, DINOv2 and others",
    "log": "--track tensorboard: curves while a run trains",
    "track": "--track wandb, trackio, mlflow and others",
    "export": "segattn export: ONNX files, and running them",
    "video": "segattn predict on videos",
    "huggingface": "--data.name huggingface: data sets of Hugging Face",
    "fast": "PNG files read faster",
    "demo": "segattn demo: the page to click pixels",
    "tiff": "images of many bands in TIFF files",
    "ray": "segattn study --engine ray",
    "slurm": "segattn study --engine slurm",
    "peers": "segattn flops --cross-check against other counters",
    "docs": "make site: the documentation as a web site",
    "dev": "the tests",
}
"""What each extra is for."""
_WIDTH = 78
_MALLOC = "MALLOC_"


@dataclass(frozen=True)
class DoctorArguments:
    """Describe versions, processor, devices, memory and what is not installed, as plain text to paste into an issue.

        segattn doctor
        segattn doctor > doctor.txt

    Nothing is changed or sent. The folder of the user is written as ~.
    """


def run(arguments: Sequence[str]) -> None:
    parse(DoctorArguments, arguments, command="doctor")
    home = str(Path.home())
    for line in _lines():
        print(line.replace(home, "~") if len(home) > 1 else line)


def _lines() -> Iterator[str]:
    machine = environment(__version__, path=Path(__file__).parent)
    yield f"segattn {__version__}" + (f", commit {machine['commit']}" if machine["commit"] else "")
    yield from _entry("python", f"{machine['python']} in {sys.prefix}")
    yield from _entry("system", machine["system"])
    yield ""
    fast = {name: ", ".join(flags) or "no faster than fp32" for name, flags in fast_types().items()}
    yield from _entry("processor", f"{machine['processor']}; {machine['settings']['cpu capability']}")
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] != 1)} of torch"
    yield from _entry("cores", f"{machine['cores']} for this process, {threads}")
    for name, flags in fast.items():
        yield from _entry(name, flags)
    yield from _entry("memory", f"{in_use.available() / 1e9:.1f} GB available")
    yield from _entry("allocator", _allocator())
    yield from _entry("devices", "; ".join(_devices()))
    yield ""
    core, extras = _requirements()
    yield from _entry("packages", ", ".join(map(_present, core)))
    networks = sum(len(zoo.networks(trunk)) for trunk in zoo.trunks())
    yield from _entry("zoo", f"{networks} network{'s' * (networks != 1)}" if networks else "none in this installation")
    if not extras:
        yield from _entry("extras", "unknown: segattn is not installed here, only its files are found")
    elif fault := _torchvision_fault():
        yield from _entry("torchvision", f"does not import; segattn works without it ({fault})")
    for extra, packages in extras.items():
        missing = [each.name for each in packages if _version(each.name) is None]
        if missing and extra != "dev":
            yield from _entry(extra, f"missing {', '.join(missing)}: {GIVES.get(extra, 'see pyproject.toml')}")
            yield " " * _INDENT + f"pip install 'segattn[{extra}]'"
        elif missing:
            yield from _entry(extra, f"missing {len(missing)} of {len(packages)} packages: {GIVES[extra]}")
        else:
            yield from _entry(extra, ", ".join(map(_present, packages)))


_INDENT = 13


def _entry(name: str, text: str) -> Iterator[str]:
    """A name and what is known of it, wrapped."""
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{name:{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """The packages that segattn always needs, and those of each extra; without extras if segattn is not installed."""
    try:
        needed = [Requirement(line) for line in importlib.metadata.requires("segattn") or []]
    except importlib.metadata.PackageNotFoundError:
        return list(map(Requirement, ("torch", "accelerate", "numpy", "pillow", "safetensors"))), {}
    extras: dict[str, list[Requirement]] = {}
    for requirement in needed:
        for extra in re.findall(r"""extra\s*==\s*["']([^"']+)""", str(requirement.marker or "")):
            extras.setdefault(extra, []).append(requirement)
    return [each for each in needed if each.marker is None], extras


def _present(requirement: Requirement) -> str:
    """Name and version of a package, and what is wrong with it."""
    version = _version(requirement.name)
    if version is None:
        return f"{requirement.name} MISSING"
    fits = requirement.specifier.contains(version, prereleases=True)
    return f"{requirement.name} {version}" + ("" if fits else f" (needs {requirement.specifier})")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torchvision_fault() -> str:
    """Why an installed torchvision does not import; empty if it does, or if there is none.

    Tried in a process of its own: a failed import leaves half of the package behind.
    """
    if _version("torchvision") is None:
        return ""
    words = [sys.executable, "-W", "ignore", "-c", "import torchvision"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "its import takes more than a minute"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]


def _devices() -> list[str]:
    """The GPUs; a word if there are none."""
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names or ["no GPU" if torch.version.cuda else "no GPU, and torch is built without CUDA"]


def _allocator() -> str:
    """The C library's allocator, or the one that is loaded before it, and the settings that it is given."""
    given = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(_MALLOC)]
    if loaded := os.environ.get("LD_PRELOAD"):
        given.append(f"LD_PRELOAD={loaded}")
    try:
        version = ctypes.CDLL(None).gnu_get_libc_version
        version.restype = ctypes.c_char_p
        name = f"glibc {version().decode()}"
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        name = "of the system"
    return f"{name}; {', '.join(given) or 'its own settings'}"
