"""Options that had another name: the table, and a command's words put into today's names with a notice for each old one."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence

UNTIL = "0.3"
"""The version without the old names."""

_HEADS = {"--head": "--heads"}
_DATA = {"--root": "--data-root", "--options": "--data-options"}

OLD_NAMES: Mapping[str, Mapping[str, str]] = {
    "study": _HEADS,
    "evaluate": {"--crop": "--crop-size", "--json": "--out"},
    "predict": {"--checkpoint": "RUN", "--crop": "--crop-size", "--batch": "--batch-size"},
    "maps": {**_HEADS, "--checkpoint": "RUN ..."},
    "demo": _HEADS,
    "flops": _HEADS,
    "bench": {**_HEADS, "--dtypes": "--precision", "--classes": "--num-classes", "--batch": "--batch-size"},
    "plan": {**_HEADS, "--dtype": "--precision", "--crop": "--input", "--batch": "--batch-size", "--runs": "RUN"},
    "compare": _HEADS,
    "data prepare": {"--root": "--out"},
    "data make": {"--root": "--out"},
    "data check": _DATA,
    "data pack": _DATA,
    "convert mmseg": {"--classes": "--num-classes", "OUT": "--out"},
    "convert to-mmseg": {"OUT": "--out"},
}
"""Old and new names, by command. Without dashes: RUN and RUN ... come first and without an option now, as one word or several;
OUT was the second such word."""

OLD_SIZES = ("--augmentation.crop-size", "--data.size", "--evaluation.crop-size", "--evaluation.stride")
"""Options of experiments that took two words, HEIGHT and WIDTH."""


def current(words: Sequence[str], *, command: str, arity: Mapping[str, int | None]) -> list[str]:
    """The words with today's names: first those that belong to no option, then the options.

    `arity` is how many words follow each option, None where as many as there are. Every old name is noted on stderr, once.
    """
    old = OLD_NAMES.get(command) or OLD_NAMES.get(command.split()[0], {})
    counts = {**arity, **{name: _count(now, arity) for name, now in old.items()}}
    first, options, noted = [], [], []
    for name, values in groups(words, counts):
        if not name:
            first += values
            continue
        plain, equals, value = name.partition("=")
        now = old.get(plain, plain)
        if now == plain:
            if plain in OLD_SIZES and len(values) == 2:
                values = ["x".join(values)]
                noted.append(f"{plain} HEIGHT WIDTH is now {plain} {values[0]}; two words work")
            options += [name, *values]
        elif now.startswith("-"):
            noted.append(f"{plain} is now {now}; the old name works")
            options += [now + equals + value, *values]
        else:
            noted.append(f"{plain} {now} is now segattn {command} {now}, without an option; the old name works")
            first[:0] = [value] if equals else values
    if "OUT" in old and len(first) == 2:
        noted.append(f"segattn {command} IN OUT is now segattn {command} IN -o OUT; the old form works")
        options += [old["OUT"], first.pop()]
    if os.environ.get("RANK", "0") == "0":  # of several processes, one prints
        for line in dict.fromkeys(noted):
            print(f"segattn: {line} until {UNTIL}", file=sys.stderr)
    return [*first, *options]


def _count(now: str, arity: Mapping[str, int | None]) -> int | None:
    """How many words follow an old name: as many as follow the new one."""
    return arity[now] if now in arity else None if now.endswith("...") else 1


def groups(words: Sequence[str], arity: Mapping[str, int | None]) -> Iterator[tuple[str, list[str]]]:
    """Each option with the words that belong to it; words that belong to none come with an empty name.

    >>> list(groups(["a.png", "--flip", "b.png", "--scales", "0.5", "1", "-o", "out"], {"--flip": 0, "--scales": None, "-o": 1}))
    [('', ['a.png']), ('--flip', []), ('', ['b.png']), ('--scales', ['0.5', '1']), ('-o', ['out'])]
    """
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not _is_option(word):
            yield "", [word]
            continue
        name, equals, value = word.partition("=")
        name = "--" + name[2:].replace("_", "-") if name.startswith("--") else name
        most = arity.get(name, None)
        if name in OLD_SIZES and all(each.isdigit() for each in rest[:2]):
            most = 2
        following = 0
        while following < len(rest) and following != most and not equals and not _is_option(rest[following]):
            following += 1
        yield name + equals + value, [rest.pop(0) for _ in range(following)]


def _is_option(word: str) -> bool:
    """Whether a word is an option; a negative number is none."""
    return re.match(r"--?[A-Za-z]", word) is not None
