"""What comes from outside: names, with the nearest valid ones; modules by dotted path; files, with limits."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import importlib
import importlib.util
import inspect
import itertools
import math
import os
import re
import stat
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


def hint(name: object, known: Iterable[str], *, most: int = 2, cutoff: float = 0.6) -> str:
    """`did you mean danet or dnlnet? `, with a trailing space; empty if no name is close.

    `cutoff` in [0, 1] is the least similarity of a suggestion (`difflib`); what is much less alike than the first is left out.

    >>> hint("danett", ["ccnet", "danet", "fcn"])
    'did you mean danet? '
    """
    matches = difflib.get_close_matches(str(name), list(known), n=most, cutoff=cutoff)
    alike = [difflib.SequenceMatcher(None, each, str(name)).ratio() for each in matches]
    near = [each for each, ratio in zip(matches, alike, strict=True) if ratio > alike[0] - 0.1]
    return f"did you mean {' or '.join(near)}? " if near else ""


def is_dotted(name: str) -> bool:
    """Whether `name` is a dotted module path, such as `mylab.tenth`, and not a name in a catalogue."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", name) is not None


def refuse_modules(what: str, named: Sequence[Any], allow_modules: Iterable[str] = ()) -> None:
    """Refuse modules that a file names as its `what`, such as `head`, and the user does not: to import a module is to run it.

    `named` is the name, then values in which texts may be names too, such as the options of a head. Names of a catalogue and
    modules of segattn pass. Each of `allow_modules` allows one module and the modules below it; what its options say is for a
    module of the user's own to read.

    >>> refuse_modules("head", ["ccnet", {"channels": 256}])
    >>> refuse_modules("head", ["mylab.heads.tenth"], ["mylab"])

    Raises:
        ValueError: any other dotted path; the message says how to allow it.
    """
    allowed = list(allow_modules)
    for name in _texts(named):
        if not is_dotted(name) or _is_own(name):
            continue
        if not any(f"{name}.".startswith(f"{module}.") for module in allowed):
            raise ValueError(
                f"the file names the module {name} as its {what}, and importing it would run its code; if you trust it, add "
                f"--allow-module {name}, in Python load_model(..., allow_modules=({name!r},))"
            )
        if name == named[0]:
            return


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value of a file, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inside in value.values() if isinstance(value, dict) else value:
            yield from _texts(inside)


def _is_own(name: str) -> bool:
    """Whether `name` is a module of segattn: a file inside this package."""
    package, *parts = name.split(".")
    path = Path(__file__).parent.joinpath(*parts)
    return package == __name__.partition(".")[0] and (
        path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()
    )


def load_module(name: str, what: str) -> ModuleType:
    """Import a user's module by its dotted path; `what` says in messages what it defines: `head`, `data set`.

    The name is the user's own word, or has passed `refuse_modules`.

    Installed packages come first. Only a top-level package that is not installed is looked for in the working directory: modules
    beside `mylab/tenth.py` import as `mylab.NAME`, and no file there can shadow an installed package.

    Raises:
        ValueError: no such module, or importing it fails; one line says where it was looked for, or what it raised.
    """
    folder = Path.cwd()
    _look_into(folder, name.partition(".")[0])
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if f"{name}.".startswith(f"{missing}."):
            raise ValueError(f"{what} {name}: {_not_there(missing, folder)}") from None
        fault = _not_there(missing, folder) if "." in missing else "which is not installed"
        raise ValueError(f"{what} {name}: {_where(error)} imports {missing!r}, {fault}") from error
    except Exception as error:  # whatever a user's file does when it is imported
        raise ValueError(f"{what} {name}: importing it raises {first_line(error)} ({_where(error)})") from error


def first_line(error: BaseException) -> str:
    """An exception in one line: `NameError: name 'x' is not defined`."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


class _WorkingDirectory:
    """Finds one top-level package in one folder, after all other finders; the modules in it are found by the package's path."""

    def __init__(self, folder: Path, package: str) -> None:
        self.folder, self.package = folder, package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(self.folder)]) if path is None and name == self.package else None


def _look_into(folder: Path, package: str) -> None:
    """Let Python find `package` in `folder`, and in no other folder, if no package of that name is installed."""
    if package in sys.stdlib_module_names:
        return
    others = [f for f in sys.meta_path if not (isinstance(f, _WorkingDirectory) and f.package == package)]
    sys.meta_path[:] = [*others, _WorkingDirectory(folder, package)]  # last: installed packages come before it
    importlib.invalidate_caches()


def _not_there(missing: str, folder: Path) -> str:
    """Why Python cannot find the module `missing`."""
    parent, _, last = missing.rpartition(".")
    if not parent:
        return f"no package {missing} is installed, and the working directory {folder} has no {missing}.py or folder {missing}"
    places = getattr(sys.modules.get(parent), "__path__", None)
    if places is None:
        file = getattr(sys.modules.get(parent), "__file__", None)
        return f"{parent} is one file ({file}), not a package, and has no module {last}"
    beside = sorted(path.stem for place in places for path in Path(place).glob("[!.]*.py") if path.stem != "__init__")
    near = hint(last, beside) or (f"there are: {', '.join(beside[:8])}" if beside else "it has no modules")
    return f"there is no {last}.py in {', '.join(map(str, places))}; {near.strip()}"


def _where(error: BaseException) -> str:
    """File and line of the user's code that an import failed at."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and Path(frame.filename) != Path(__file__)
        and "importlib" not in Path(frame.filename).parts
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "it"


# The errors of every catalogue ------------------------------------------------------------------------------------------
def unknown(what: str, name: object, valid: Iterable[str], *, also: str = "") -> ValueError:
    """The error for a name that is not in a catalogue, with the nearest valid names and all of them.

    `also` is appended to the list and says what else is allowed.

    >>> unknown("head", "danett", ["ccnet", "danet"])
    ValueError("unknown head 'danett'; did you mean danet? Known heads: ccnet, danet")
    """
    valid = list(valid)
    close = hint(name, valid, most=3)
    return ValueError(f"unknown {what} {name!r}; {close}Known {what}s: {', '.join(valid)}{also}")


def check_options(owner: str, options: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse an option that `owner` does not have, such as `head 'danet'`.

    Raises:
        ValueError: an option is not among those allowed; the message names the nearest one and all of them.
    """
    allowed = list(allowed)
    for option in options:
        if option not in allowed:
            close = hint(option, allowed, most=1)
            raise ValueError(f"{owner} has no option {option!r}; {close}Its options: {', '.join(allowed) or 'none'}")


def keyword_only(builder: Callable[..., object]) -> list[str]:
    """Names of the keyword-only parameters of a class or function: the options that it takes.

    >>> keyword_only(hint)
    ['most', 'cutoff']
    """
    parameters = inspect.signature(builder).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def refuse_unknown_fields(raw: Any, known: Any, what: str, path: str = "") -> None:
    """Raise ValueError for a field of the dictionary `raw` that the dataclass instance `known` does not have, at any depth."""
    if not isinstance(raw, dict) or not dataclasses.is_dataclass(known):
        return
    allowed = [field.name for field in dataclasses.fields(known)]
    for name, value in raw.items():
        if name not in allowed:
            close = hint(name, allowed, most=1)
            raise ValueError(f"not {what}: unknown field {path}{name}; {close}Its fields: {', '.join(allowed)}")
        refuse_unknown_fields(value, getattr(known, name), what, f"{path}{name}.")


def usable(value: Any, path: str = "") -> Any:
    """The settings, unless one of them can be in no file or computation: then ValueError names its path.

    That is nan or infinity (JSON has no form for them), a whole number beyond 64 bits, or what is nested too deep.

    >>> usable({"optimization": {"lr": float("nan")}})
    Traceback (most recent call last):
    ValueError: optimization.lr is nan; give a finite number
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}; give a finite number")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError(f"{path} is a whole number of more than 63 bits; give a smaller one")
    if path.count(".") > _DEEPEST_SETTING:
        raise ValueError(f"{path.partition('.')[0]} is nested deeper than {_DEEPEST_SETTING} levels")
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, child in children:
        usable(child, f"{path}.{name}".removeprefix("."))
    return value


# Files from anywhere -------------------------------------------------------------------------------------------------------
MOST_BYTES = 64 * 2**20
"""Of a file that is read whole, such as JSON."""
_MOST_LEVELS, _MOST_CONTAINERS, _DEEPEST_SETTING = 64, 500_000, 20
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def regular_size(path: str | os.PathLike[str]) -> int:
    """Size in bytes of a file that can be read to its end: no pipe, which may never come to one, no device, no folder.

    Raises:
        OSError: anything else, or nothing that the system gives access to; a name with a NUL character, which no file has.
    """
    try:
        status = os.stat(path)
    except ValueError:
        raise OSError(errno.EINVAL, "no file name holds a NUL character", repr(os.fspath(path))) from None
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
        raise OSError(errno.EINVAL, f"not a regular file but {kind}", os.fspath(path))
    return status.st_size


def read_bytes(path: str | os.PathLike[str], *, most: int = MOST_BYTES) -> bytes:
    """The contents of a regular file; raises OSError as `regular_size`, and for a file of more than `most` bytes."""
    if (size := regular_size(path)) <= most:
        with open(path, "rb") as file:
            content = file.read(most + 1)
        if len(content) <= most:
            return content
        size = len(content)
    raise OSError(errno.EFBIG, f"{size:,} bytes; at most {most:,} are read", os.fspath(path))


def read_json(path: str | os.PathLike[str], *, what: str = "JSON") -> Any:
    """The plain values in a JSON file; `what` says in messages what it should hold.

    Raises:
        OSError: as `read_bytes`.
        ValueError: no JSON, or nested too deep.
    """
    import msgspec  # here, so that `segattn --help` stays fast

    try:
        raw = msgspec.json.decode(read_bytes(path))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not {what} ({error})") from None
    except RecursionError:
        raise ValueError(f"{path}: not {what} (nested too deep)") from None
    return checked_nesting(raw, path)


def checked_nesting(raw: Any, path: str | os.PathLike[str]) -> Any:
    """The plain values that a file holds, unless they are nested too deep, or too many, for the code that walks through them."""
    level = [raw] if isinstance(raw, dict | list) else []
    for _ in range(_MOST_LEVELS):
        inside = (value.values() if isinstance(value, dict) else value for value in level)
        containers = (value for values in inside for value in values if isinstance(value, dict | list))
        level = list(itertools.islice(containers, _MOST_CONTAINERS + 1))
        if not level:
            return raw
        if len(level) > _MOST_CONTAINERS:
            raise ValueError(f"{path}: holds too many lists and mappings")
    raise ValueError(f"{path}: nested more than {_MOST_LEVELS} levels deep")
