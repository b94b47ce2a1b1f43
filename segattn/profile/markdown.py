"""Markdown tables for the whole package.

The writer stands here, below its other users, because the profiler imports nothing else of segattn and writes tables too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_RULES = {"l": "---", "r": "---:"}


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, align: str = "lr") -> str:
    """A table as GitHub reads it, without a line break at the end.

    Cells are Markdown already: what comes from a file is escaped before. `align` has a letter for each column, `l` for text and
    `r` for figures; the last letter holds for all columns that follow.

    >>> print(markdown_table(["head", "ms", "MiB"], [["ccnet", "12.0", 3]]))
    | head | ms | MiB |
    | --- | ---: | ---: |
    | ccnet | 12.0 | 3 |

    Raises:
        ValueError: a letter other than l and r, or more letters than columns.
    """
    if not align or set(align) - _RULES.keys() or len(align) > len(headings):
        raise ValueError(
            f"align {align!r} for {len(headings)} columns; give l (text) or r (figures) for each, the last for all that follow"
        )
    rule = [_RULES[letter] for letter in align.ljust(len(headings), align[-1])]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in (headings, rule, *rows))
