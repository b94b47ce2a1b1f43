"""A head's module docstring, taken apart: citation, mechanism, cost, differences, legend."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from types import ModuleType

_CITATION = re.compile(r"(?P<authors>.+?): \*(?P<title>.+?)\*,? *(?P<venue>.*)")
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Docstring:
    """Paragraphs as they stand in the file, indented ones included."""

    authors: str
    title: str
    venue: str
    mechanism: tuple[str, ...]
    cost: tuple[str, ...]
    differences: tuple[str, ...]
    legend: str


def read(module: ModuleType) -> Docstring:
    """The parts of a head's docstring.

    Raises:
        ValueError: it does not have the parts; the message names the file and the part.
    """
    paragraphs = (inspect.getdoc(module) or "").split("\n\n")
    citation = _CITATION.fullmatch(" ".join(paragraphs[0].split()))
    cost = _first(paragraphs, "Cost")
    differences = _first(paragraphs, "Differences")
    if citation is None or not 0 < cost < differences < len(paragraphs) - 1:
        raise ValueError(
            f"{module.__file__}: the docstring should have, in this order, 'authors: *title*, venue, arXiv id.', the equations, "
            "a paragraph 'Cost', a paragraph 'Differences', and the legend of shapes; see segattn/heads/ccnet.py"
        )
    return Docstring(
        authors=citation["authors"],
        title=citation["title"],
        venue=citation["venue"].rstrip("."),
        mechanism=tuple(paragraphs[1:cost]),
        cost=tuple(paragraphs[cost:differences]),
        differences=tuple(paragraphs[differences:-1]),
        legend=paragraphs[-1],
    )


def venue(text: str) -> str:
    """The venue with the arXiv number as a link."""
    return _ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def markdown(paragraphs: tuple[str, ...]) -> str:
    """Prose as it stands, with asterisks and angle brackets kept from being markup; what is indented as code."""
    return "\n\n".join(map(_paragraph, paragraphs))


def is_indented(paragraph: str) -> bool:
    return paragraph.startswith("    ")


def _paragraph(text: str) -> str:
    if is_indented(text):
        return "```text\n" + inspect.cleandoc("\n" + text) + "\n```"
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<>|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _first(paragraphs: list[str], word: str) -> int:
    return next((index for index, text in enumerate(paragraphs) if text.startswith(word)), -1)
