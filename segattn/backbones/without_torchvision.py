"""Imports timm, also where torchvision is absent or broken: beside CPU torch, PyPI's torchvision does not import.

timm imports names of torchvision for its own data pipeline and for norms with frozen statistics; no backbone calls them. A
torchvision that imports is left as it is. Otherwise timm gets stand-ins for these names, and only timm: they are not in
`sys.modules` afterwards, so `import torchvision` elsewhere raises what it raised before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_TORCHVISION = "torchvision"
_NEEDED = tuple(f"{_TORCHVISION}{part}" for part in ("", ".ops.misc", ".transforms.functional", ".datasets"))
"""What timm cannot do without."""
_OPTIONAL = f"{_TORCHVISION}.models"
"""Absent here: timm then knows that it has no feature extraction by torch.fx."""


def import_timm() -> ModuleType:
    """The package timm.

    Raises:
        ImportError: it is not installed, or fails to import for another reason than torchvision.
    """
    if "timm" in sys.modules or _imports():
        return importlib.import_module("timm")
    with _stand_ins():
        return importlib.import_module("timm")


def _imports() -> bool:
    """Whether torchvision imports; what a failed attempt leaves in `sys.modules` is removed."""
    before = set(sys.modules)
    try:
        for name in _NEEDED:
            importlib.import_module(name)
    except Exception:  # of a broken installation: RuntimeError, OSError, AttributeError, ...
        for name in set(_loaded()) - before:
            del sys.modules[name]
        return False
    return True


def _loaded() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == _TORCHVISION]


@contextmanager
def _stand_ins() -> Iterator[None]:
    """`import torchvision` gives stand-ins in this block."""
    others, finder = {name: sys.modules.pop(name) for name in _loaded()}, _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(others)


class _Finder(MetaPathFinder, Loader):
    """Finds a stand-in for every module of torchvision but `_OPTIONAL`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != _TORCHVISION:
            return None
        if f"{name}.".startswith(f"{_OPTIONAL}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: names are made when they are asked for."""


class _Module(ModuleType):
    """A module whose capitalised names are classes; others are modules, which the import system then looks for."""

    def __getattr__(self, name: str) -> Any:
        if not name[0].isupper():
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return _Class(name, (_StandIn,), {"__module__": self.__name__})


class _Class(type):
    """A class whose capitalised attributes are texts, as timm reads `InterpolationMode.BICUBIC`."""

    def __getattr__(cls, name: str) -> str:
        if not name[0].isupper():
            raise AttributeError(f"class {cls.__name__!r} has no attribute {name!r}")
        return f"{cls.__name__}.{name}"


class _StandIn(metaclass=_Class):
    """Can be inherited from and compared with, not made."""

    def __init__(self, *_: Any, **__: Any) -> None:
        name = next(kind for kind in type(self).__mro__ if kind.__module__.startswith(_TORCHVISION))
        raise ImportError(f"{name.__module__}.{name.__name__} needs a torchvision that imports; it does not here")
