"""Names that are close to a mistyped one, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def hint(given: object, known: Iterable[str], *, most: int = 2, cutoff: float = 0.6) -> str:
    """`did you mean danet or dnlnet? `, with the blank after it; nothing where no name comes close.

    `cutoff` in [0, 1] is how alike names must be (`difflib`).

    >>> hint("danett", ["ccnet", "danet", "fcn"], most=1)
    'did you mean danet? '
    >>> hint("unet", ["street"], cutoff=0.9)
    ''
    """
    near = difflib.get_close_matches(str(given), list(known), n=most, cutoff=cutoff)
    return f"did you mean {' or '.join(near)}? " if near else ""


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few names and how many more there are, or `none`.

    >>> some(["conv.weight", "conv.bias", "bn.weight"], limit=2), some([])
    ('conv.weight, conv.bias and 1 more', 'none')
    """
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) + more) or "none"
