"""A mistake in a command's options as one line; tyro shows a box of several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from segattn.catalogue import hint
from segattn.cli.essentials import whole_help


def unknown(words: Sequence[str], options: Iterable[str], *, command: str) -> str:
    """The line for words that a command does not take: the option and the nearest one that exists, or the word."""
    named = next((word for word in words if word.startswith("-")), None)
    if named is None:
        return f"segattn {command}: unexpected argument {words[0]!r}; see segattn {command} --help"
    name = named.partition("=")[0]
    known = sorted(set(options) - {"-h", "--help-all"})
    alike = [each for each in known if _last_part(each) == _last_part(name)]  # --crop-size: --augmentation.crop-size
    near = f"did you mean {' or '.join(alike)}? " if alike else hint(name, known, most=1)
    return f"segattn {command} has no option {name}; {near}All options: {whole_help(command)}"


def _last_part(option: str) -> str:
    return option.lstrip("-").rpartition(".")[2]


def one_line(box: str, *, command: str) -> str:
    """The line for what tyro says in a box: the option, what is wrong, what is allowed."""
    rows = [line.strip("│").removeprefix(" ").rstrip() for line in box.splitlines() if line.startswith("│")]
    body = rows[: next((number for number, row in enumerate(rows) if row.startswith("──")), len(rows))]
    text = " ".join(" ".join(body).split())
    if text.startswith("Missing from "):
        missing = [row.strip().rpartition(", ")[2] for row in body if re.match(r"    \S", row)]
        return f"segattn {command} needs {', '.join(missing)}; see segattn {command} --help"
    if without := re.search(r"Missing value for argument '(.*?)'(?:. Expected (\d+) values)?", text):
        what = f"{without[2]} values" if without[2] not in (None, "1") else "a value"
        return f"{_long(without[1])} needs {what}; see segattn {command} --help"
    if wrong := re.match(r"Error parsing (\S+): (.*)", text):
        return f"{_long(wrong[1])}: {wrong[2]}"
    return f"segattn {command}: {text}"


def _long(names: str) -> str:
    """The long name of an option, of all that tyro lists."""
    return next((name for name in names.split("/") if name.startswith("--")), names)
