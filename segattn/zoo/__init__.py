"""Trained networks that ship with segattn, one folder a trunk. This package knows files and facts; torch is not needed.

    zoo/TRUNK/trunk.safetensors    backbone and FCN head of the trunk; names `backbone.*` and `head.*`
    zoo/TRUNK/NETWORK.safetensors  the head of another network on that backbone; names `head.*`
    zoo/TRUNK/zoo.json             facts of every network; size and SHA-256 of every file
    zoo/TRUNK/README.md            the same as a page

A network's name is `TRUNK/NETWORK`, such as `streets/ccnet`. `segattn.load_model` loads it; `python -m docs.make.zoo` writes
these folders from finished runs.
"""

from __future__ import annotations

import os
from pathlib import Path

from segattn.catalogue import hint, unknown
from segattn.zoo import hub
from segattn.zoo.entry import FACTS, Entry, File, read

__all__ = ["FULL", "LOCAL", "MAX_BYTES", "ROOT", "Entry", "File", "Source", "find", "hub", "is_named", "names", "networks",
           "offer", "read", "source", "trunk", "trunks"]  # fmt: skip

ROOT = Path(__file__).parent
"""The folder of the trunks."""
FULL, LOCAL = "streets", "streets-local"
"""The trunk with the full receptive field, and the one that leaves context to the head."""
MAX_BYTES = 50_000_000
"""The most that the weights of all trunks may take in the package."""

Source = Path | Entry
"""A trained network: the folder of a run, or a network of the zoo."""


def trunks() -> list[str]:
    """Names of the trunks of this installation; [] where no networks ship with it."""
    return sorted(path.parent.name for path in ROOT.glob(f"[!.]*/{FACTS}"))


def names() -> list[str]:
    """Names of all networks, trunk by trunk.

    Raises:
        ValueError: a trunk's zoo.json is damaged.
    """
    return [entry.name for name in trunks() for entry in read(ROOT / name)]


def is_named(where: str | os.PathLike[str]) -> bool:
    """Whether `where` is the name of a trunk, or begins with one: `streets`, `streets/ccnet`. Files and folders come first."""
    return not Path(where).exists() and _begins_with_trunk(where)


def source(where: str | os.PathLike[str] | Entry) -> Source:
    """The network of the zoo that `where` names, the downloaded folder of one of the hub (`hf://user/name`), otherwise the path.

    Raises:
        ValueError: as `find` and `hub.download`.
    """
    if isinstance(where, Entry):
        return where
    if hub.is_on_hub(where):
        return hub.download(where)
    return find(Path(where).as_posix()) if is_named(where) else Path(where)


def find(name: str) -> Entry:
    """The network of that name.

    Raises:
        ValueError: no such network (with the nearest names), or `name` is a trunk; a damaged zoo.json.
    """
    entries = networks(name)
    if name in trunks():
        raise ValueError(f"{name} is a trunk with {len(entries)} networks; name one of them, such as {entries[0].name}")
    return entries[0]


def networks(name: str) -> list[Entry]:
    """All networks of the trunk `name`, or the one network of that name.

    Raises:
        ValueError: no such trunk or network, with the nearest names; a damaged zoo.json.
    """
    if not trunks():
        raise ValueError(f"unknown network {name!r}: this installation of segattn has no trained networks")
    entries = [entry for each in trunks() for entry in read(ROOT / each)]
    chosen = [entry for entry in entries if name in (entry.trunk, entry.name)]
    if not chosen:
        raise unknown("network", name, names())
    return chosen


def trunk(name: str) -> Path:
    """The file of a trunk, with the backbone and its FCN head (`backbone.*`, `head.*`); size and SHA-256 are verified.

    Raises:
        ValueError: no such trunk, or its file is not the one that was packed.
    """
    if name not in trunks():
        raise (
            unknown("trunk", name, trunks())
            if trunks()
            else ValueError(f"unknown trunk {name!r}: this installation of segattn has no trained networks")
        )
    return read(ROOT / name)[0].trunk_file.verified()


def offer(name: str | os.PathLike[str]) -> str:
    """What a message about `name`, which has no trained network, says of the zoo; it follows `give the folder of a run`."""
    if not trunks():
        return ", or a network of the zoo (this installation has none)"
    if _begins_with_trunk(name):
        return f" (while the folder {name} exists, the zoo's networks of that name are hidden)"
    near = hint(name, [*trunks(), *names()], most=1)
    return f", or a network of the zoo: {near or f'{names()[0]}, ... '}`segattn zoo` lists them"


def _begins_with_trunk(name: str | os.PathLike[str]) -> bool:
    return Path(name).as_posix().partition("/")[0] in trunks()
