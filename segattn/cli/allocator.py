"""The C library's allocator, told to keep freed memory: every page that goes back to the system faults again in the next step."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import MutableMapping, Sequence

KEEPS = ("study", "train", "evaluate", "predict", "maps", "demo", "export")
"""Commands that run a network again and again. `bench` measures as the system is; the others compute little."""
SWITCH = "SEGATTN_ALLOCATOR"
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h
_SETTINGS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}
_OTHERS = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_")


def own_words() -> list[str]:
    """The words of this process's command line, after the allocator has been told what they need; a wrong switch ends it."""
    words = sys.argv[1:]
    try:
        keep_memory(words)
    except ValueError as error:
        print(f"segattn: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    return words


def keep_memory(arguments: Sequence[str], environment: MutableMapping[str, str] = os.environ) -> bool:
    """Let this process and those that it starts keep freed memory, if the command gains by it; whether it was done.

    Not where the user has said something of the allocator (SEGATTN_ALLOCATOR=system, a variable MALLOC_..., GLIBC_TUNABLES, or
    another allocator by LD_PRELOAD), and not without glibc. The first step still pays for its pages.

    Raises:
        ValueError: SEGATTN_ALLOCATOR is neither keep nor system.
    """
    wanted = environment.get(SWITCH, "keep")
    if wanted not in ("keep", "system"):
        raise ValueError(f"{SWITCH}={wanted} should be keep (freed memory, the default) or system (as the system does)")
    said = any(name.startswith(_OTHERS) for name, value in environment.items() if value)
    if wanted == "system" or said or not arguments or arguments[0] not in KEEPS or not _is_glibc():
        return False
    malloc = ctypes.CDLL(None)
    kept = malloc.mallopt(_MMAP_MAX, 0) == 1 and malloc.mallopt(_TRIM_THRESHOLD, -1) == 1
    if kept:
        environment.update(_SETTINGS)  # for workers, which read them when they start
    return kept


def _is_glibc() -> bool:
    try:
        return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
    except (OSError, TypeError):  # Windows
        return False
