"""A .pt2 file read without running code: `torch.export.load` unpickles what a file marks for it and evaluates its expressions.

What segattn writes needs neither. A file is refused unless it consists of the members that segattn writes, has tensors as plain
bytes, calls operators of ATen only, and names nothing but sizes in its expressions.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segattn.records import integrity

EXTRA = "segattn.json"
"""The extra file with the facts."""
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_PROGRAM, _SAMPLE = "models/model.json", "data/sample_inputs/model.pt"
_MEMBERS = re.compile(
    rf"archive_format|archive_version|byteorder|\.data/\w+|{re.escape(_PROGRAM)}|data/weights/(weight_\d+|model_weights_config\.json)"
    rf"|data/constants/(tensor_\d+|model_constants_config\.json)|{re.escape(_SAMPLE)}|extra/{re.escape(EXTRA)}"
)
_TARGET = re.compile(
    r"torch\.ops\.(aten|prim)\.\w+(\.\w+)?|torch\.ops\.higher_order\.wrap_with_(autocast|set_grad_enabled)"
    r"|_operator\.\w+|math\.\w+|torch\.sym_\w+"
)
_NOT_COMPUTING = re.compile(r"from_file|_?save|load")
_TOKEN = re.compile(r"\s*(?:'(?P<symbol>\w*)'|(?P<name>[A-Za-z_]\w*)|\d+(?:\.\d+)?|[-+*/%(),<>=&|~!])")
_SYMBOL = re.compile(r"(s|u|zuf|zf)\d+")
_NAME = re.compile(r"(s|u|zuf|zf)\d+|[A-Z][A-Za-z]*|int_oo|oo|positive|nonnegative|integer|real")


def read(content: bytes) -> tuple[torch.export.ExportedProgram, dict[str, Any]]:
    """The program and the facts of a .pt2 file's bytes.

    Raises:
        ValueError: not such a file, or one that would run code; without the name of the file.
    """
    try:
        archive = torch._C.PyTorchFileReader(io.BytesIO(content))
        members = archive.get_all_records()
    except (RuntimeError, ValueError):
        raise ValueError("not a readable .pt2 file; it may be truncated") from None
    if f"extra/{EXTRA}" not in members:
        raise ValueError("no metadata of segattn: it was written by another tool")
    refuse_code(archive, members)
    try:
        facts = json.loads(archive.get_record(f"extra/{EXTRA}"))
        return torch.export.load(io.BytesIO(content)), facts
    except Exception as error:  # of torch, whatever a damaged file makes it do
        raise ValueError(
            f"not a program that this torch ({torch.__version__}) reads ({integrity.one_line(error)})"
        ) from None


def refuse_code(archive: Any, members: list[str]) -> None:
    """Raise ValueError if loading the archive would run code, or if it may."""
    for name in members:
        if not _MEMBERS.fullmatch(name):
            raise ValueError(f"not a file that segattn wrote: it has the member {name:.80}")
    if len(members) != len(set(members)) or not {*_CONFIGS, _PROGRAM, _SAMPLE} <= set(members):
        raise ValueError("not a file that segattn wrote: members are missing or twice in it")
    try:
        tables = [json.loads(archive.get_record(name))["config"].values() for name in _CONFIGS]
        pickled = any(tensor.get("use_pickle") is not False for table in tables for tensor in table)
        program = json.loads(archive.get_record(_PROGRAM))
        torch.load(io.BytesIO(archive.get_record(_SAMPLE)), weights_only=True)
    except Exception as error:  # of JSON and torch
        raise ValueError(f"not a file that segattn wrote ({integrity.one_line(error)})") from None
    if pickled:
        raise ValueError("a tensor in it is pickled, which could run code; export the network again")
    for key, value in _entries(program):
        if key == "expr_str" and not is_size(value):
            raise ValueError(f"an expression in it is no size: {value!r:.80}")
        if key == "target" and not is_operator(value):
            raise ValueError(f"it calls {value!r:.80}, which is no operator of torch")


def is_operator(target: object) -> bool:
    """Whether a graph may call this.

    >>> is_operator("torch.ops.aten.relu.default"), is_operator("torch.hub.load"), is_operator("torch.ops.load_library")
    (True, False, False)
    """
    if not isinstance(target, str) or not _TARGET.fullmatch(target):
        return False
    return not any(_NOT_COMPUTING.fullmatch(part) for part in target.split("."))


def is_size(expression: object) -> bool:
    """Whether an expression consists of sizes, numbers and functions of them.

    >>> is_size("Add(Symbol('s14', positive=True, integer=True), Integer(-1))"), is_size("2*s14 + Max(1, s90)")
    (True, True)
    >>> is_size("__import__('os')"), is_size("s1.is_real"), is_size("S('print')")
    (False, False, False)
    """
    if not isinstance(expression, str) or not expression.strip():
        return False
    position, text = 0, expression.rstrip()
    while position < len(text):
        token = _TOKEN.match(text, position)
        if (
            token is None
            or not _SYMBOL.fullmatch(token["symbol"] or "s0")
            or not _NAME.fullmatch(token["name"] or "oo")
        ):
            return False
        position = token.end()
    return True


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of a JSON document at every depth."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            yield from current.items()
            waiting += current.values()
        elif isinstance(current, list):
            waiting += current


def read_file(path: Path) -> tuple[torch.export.ExportedProgram, dict[str, Any]]:
    """`read`, of a file; errors name it."""
    try:
        return read(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
