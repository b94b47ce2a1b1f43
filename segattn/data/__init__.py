"""Data sets: one file each. The folder is the catalogue: `streets.py` is the data set `streets`."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from segattn.catalogue import check_options, is_dotted, load_module, unknown
from segattn.data._dataset import Dataset, Sample
from segattn.data.tools.verify import verify

__all__ = ["Dataset", "Sample", "load", "module", "names", "verify"]

OWN = ("folder", "huggingface", "webdataset")
"""Data sets that read a user's own data; results name them after their folder."""
_NOT_DATA_SETS = {"classes", "features", "files", "items", "loader", "rare_classes", "splits", "tools", "transforms"}
"""Shared by all data sets."""


def names() -> list[str]:
    """Names of the data sets that come with segattn.

    >>> names()
    ['ade20k', 'camvid', 'cityscapes', 'coco_stuff', 'folder', 'huggingface', 'packed', 'probes', 'streets', 'voc', 'webdataset']
    """
    modules = {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}
    return sorted(modules - _NOT_DATA_SETS)


def load(name: str, split: str, *, root: str | os.PathLike[str] | None = None, **options: Any) -> Dataset:
    """Load a split of a data set by name, or by the dotted path of a module that has `load(split, *, root, ...)`.

    >>> len(load("streets", "val", height=64, width=128, num_images=3))
    3

    Args:
        split: `train`, `val` or `test`.
        root: the folder of the data set; `streets` is generated and has none.
        options: keyword arguments of that data set's own `load`.

    Raises:
        ValueError: unknown name, split or option, or files that cannot be used; the message says what is allowed.
    """
    source = module(name)
    kinds = _kinds(source.load)
    own = [parameter for parameter in inspect.signature(source.load).parameters if parameter not in ("split", "root")]
    check_options(f"data set {name}", options, own)
    for option, value in options.items():
        _check_kind(name, option, value, kinds.get(option, (object,)))
    dataset: Dataset = source.load(split, root=root, **options)
    if name in OWN:
        dataset.title = own_title(name, root or options.get("dataset"))
    return dataset


def own_title(name: str, where: object) -> str:
    """What results call a user's own data: the name of their folder; with the reader's name if another data set has that name.

    >>> own_title("folder", "data/my pets/"), own_title("folder", "data/cityscapes")
    ('my pets', 'cityscapes (folder)')
    """
    title = Path(str(where)).expanduser().resolve().name or name
    return f"{title} ({name})" if title.lower() in names() and title != name else title


def module(name: str) -> ModuleType:
    """The module of a data set, by name or dotted path; its docstring says what its folder looks like.

    Raises:
        ValueError: an unknown name.
    """
    if is_dotted(name):
        source = load_module(name, "data set")
        if not callable(getattr(source, "load", None)):
            raise ValueError(
                f"data set {name}: {source.__file__} has no function load; write: def load(split, *, root=None)"
            )
        return source
    if name not in names():
        raise unknown("data set", name, names(), also=", or give the dotted path of your own module")
    return importlib.import_module(f"{__name__}.{name}")


_SCALARS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "none"}


def _kinds(load: Callable[..., Any]) -> dict[str, tuple[type, ...]]:
    """The types of each option whose annotation names only scalars and paths."""
    try:
        hints = get_type_hints(load)
    except NameError:  # a user's module that imports a type under TYPE_CHECKING only
        return {}
    kinds = {}
    for name, annotation in hints.items():
        parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        classes = tuple(get_origin(part) or part for part in parts)
        if set(classes) <= {*_SCALARS, os.PathLike}:
            kinds[name] = classes
    return kinds


def _check_kind(name: str, option: str, value: Any, kinds: tuple[type, ...]) -> None:
    number = isinstance(value, int) and not isinstance(value, bool)
    if not any(isinstance(value, kind) if kind is not int else number for kind in kinds):
        words = " or ".join(_SCALARS[kind] for kind in kinds if kind in _SCALARS)
        raise ValueError(f"option {option} of data set {name} should be {words}, not {value!r}")
