"""Names that are close to a mistyped one, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
