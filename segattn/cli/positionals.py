"""Words that belong to a command itself, although they follow an option of any number of words: `choose --bench FILE RUN`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from segattn import zoo
from segattn.cli import old_names, values
from segattn.cli.options import Details, fields_of, options_of


def freed(words: Sequence[str], counts: Mapping[str, int | None], owner: type, details: Details) -> list[str]:
    """The words, with those of the command itself first, as tyro gives an option all the words that follow it.

    `counts` is how many words each option has, None for any number. Such an option keeps its first word and those up to the first
    that is no value of it but a network, file or data set. The words of a command without words of its own stay as they are.
    """
    if not any(tyro.conf.Positional in notes for _, _, notes in fields_of(owner, details)):
        return list(words)
    foreign = {
        name: _foreign(field.name, plain) for names, _, field, plain, _ in options_of(owner, details) for name in names
    }
    own, options = list[str](), list[str]()
    for name, following in old_names.groups(words, counts):
        if not name:
            own += following
            continue
        kept = len(following)
        if counts.get(name, 0) is None:
            is_foreign = foreign[name]
            kept = next((at for at, word in enumerate(following) if at and is_foreign(word)), kept)
        options += [name, *following[:kept]]
        own += following[kept:]
    return [*own, *options]


def _foreign(name: str, kind: Any) -> Callable[[str], bool]:
    """Whether a word is none of this option, whose words are of the type `kind`."""
    return OF_OTHERS.get(name) or (lambda word: _is_place(word) and not _is_value(kind, word))


def _is_value(kind: Any, word: str) -> bool:
    try:
        values.value(kind, [word])
    except ValueError:
        return False
    return True


def _is_place(word: str) -> bool:
    """Whether a word names a file, a folder, or a network of the zoo or the hub; a file need not exist."""
    return _is_network(word) or Path(word).exists() or re.search(r"/|[A-Za-z]\.[A-Za-z]\w*$", word) is not None


def _is_network(word: str) -> bool:
    """Whether a word names a trained network or the folder of one."""
    return zoo.is_named(word) or zoo.hub.is_on_hub(word) or (Path(word) / "config.json").is_file()


def _is_record(word: str) -> bool:
    return word.endswith(".json") or Path(word).is_file()


def _is_head(word: str) -> bool:
    from segattn import heads

    return word in heads.names() or re.fullmatch(r"\w+(\.\w+)+", word) is not None


def _is_study(word: str) -> bool:
    return not _is_head(word) and (_is_network(word) or Path(word).exists() or "/" in word or ":" in word)


def _is_data_set(word: str) -> bool:
    from segattn import data

    return word in data.names() or re.fullmatch(r"\w+(\.\w+)+", word) is not None


OF_OTHERS: Mapping[str, Callable[[str], bool]] = {
    "bench": lambda word: not _is_record(word),
    "budget": lambda word: re.match(r"[\d.]", word) is None or Path(word).exists(),
    "calibration": _is_network,
    "family": _is_head,
    "heads": _is_study,
    "splits": _is_data_set,
}
"""Options whose words are names or paths, as those of the command are: whether a word is none of the option."""
