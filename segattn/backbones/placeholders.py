"""Reads a `.pth` archive that holds objects of other classes beside its tensors, such as a run's log; runs nothing of them.

Every class or function that the pickle names becomes a placeholder: made, called, filled or given a state, it does nothing. Only
dictionaries and tensors are what they were.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_PROGRAMS = {
    "os",
    "posix",
    "nt",
    "sys",
    "subprocess",
    "shutil",
    "socket",
    "runpy",
    "importlib",
    "pty",
    "ctypes",
    "commands",
}
"""Modules that no checkpoint needs; a file that names one was made to do harm.

Pickles call `subprocess` by an old name, `commands`."""
_PROGRAMS_BUILT_IN = {"eval", "exec", "compile", "open", "__import__", "breakpoint", "input"}


class Placeholder:
    """Stands for an object of a class that is not loaded, and for what calling it would give."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __new__(cls, *_: Any, **__: Any) -> Placeholder:
        return object.__new__(cls)

    def __call__(self, *_: Any, **__: Any) -> Placeholder:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, *_: Any) -> None:
        """Nothing; as `extend` and `add`, called for each item of a list, set or the like."""

    extend = add = append


def read(path: str | Any) -> Any:
    """The contents of an archive that `torch.save` wrote, on the CPU, with `Placeholder` for all other objects.

    Raises:
        pickle.UnpicklingError: no such archive, it names what could run a program, or a tensor is larger than its data.
        Exception: whatever else a damaged pickle raises.
    """
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        pickles = [name for name in names if PurePosixPath(name).name == "data.pkl"]
        if len(pickles) != 1:
            raise pickle.UnpicklingError("no archive of torch.save")
        folder = str(PurePosixPath(pickles[0]).parent)
        order = f"{folder}/byteorder"
        if order in names and archive.read(order) != b"little":
            raise pickle.UnpicklingError("its numbers are big-endian")
        return _Unpickler(archive, folder, archive.read(pickles[0])).load()


class _Unpickler(pickle._Unpickler):
    """Python's own, written in Python: its memo takes no more memory than it has entries."""

    def __init__(self, archive: zipfile.ZipFile, folder: str, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.archive, self.folder = archive, folder
        self.storages: dict[tuple[str, torch.dtype], Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] in _PROGRAMS or (module in ("builtins", "__builtin__") and name in _PROGRAMS_BUILT_IN):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return self.tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return self.parameter
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        return type("Placeholder", (Placeholder,), {"stands_for": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Tensor:
        """The numbers of a storage, (numel,)."""
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or not isinstance(pid[1], torch.dtype):
            raise pickle.UnpicklingError("it refers to something else than numbers")
        _, dtype, key, _, _ = pid
        if (key, dtype) not in self.storages:
            content = bytearray(self.archive.read(f"{self.folder}/data/{key}"))
            empty = torch.empty(0, dtype=dtype)
            self.storages[key, dtype] = torch.frombuffer(content, dtype=dtype) if content else empty
        return self.storages[key, dtype]

    def tensor(self, storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
        """A view of a storage, as torch rebuilds it."""
        if not isinstance(storage, Tensor) or math.prod(size) > storage.numel():
            raise pickle.UnpicklingError("a tensor is larger than its data")
        return storage.as_strided(size, stride, offset)

    def parameter(self, data: Tensor, *_: Any) -> Tensor:
        """The tensor of a parameter."""
        return data

    def _ignore_state(self) -> None:
        self.stack.pop()  # type: ignore[attr-defined]

    dispatch = {  # type: ignore[assignment]
        code: step
        for code, step in pickle._Unpickler.dispatch.items()
        if code not in {ord(each) for each in (pickle.BYTEARRAY8, pickle.EXT1, pickle.EXT2, pickle.EXT4)}
    } | {ord(pickle.BUILD): _ignore_state}
