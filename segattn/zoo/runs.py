"""Folders of trained networks on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from segattn import zoo

_SHOWN = 10


def find_runs(folder: str | os.PathLike[str]) -> list[Path]:
    """Folders of trained models: `folder` itself, or the folders in it, such as the finished runs of a study.

    Raises:
        ValueError: there is no trained model in any of them.
    """
    folder = Path(folder)
    models = [path for path in (folder, *_inside(folder)) if _is_run(path)]
    if not models:
        what = "has no trained network" if folder.is_dir() else "is not a folder"
        advice = "give the folder of a finished run, or of a study such as runs/quick"
        raise ValueError(f"{folder} {what}; {advice}{zoo.offer(folder)}")
    return models[:1] if models[0] == folder else models


def runs_inside(folder: str | os.PathLike[str]) -> str:
    """What to say where one run is wanted and `folder` is one of several: their names; empty if there are none in it."""
    names = [path.name for path in _inside(Path(folder)) if _is_run(path)]
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f", such as {Path(folder) / names[0]}; it holds {', '.join(names[:_SHOWN])}{more}"


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*"))


def _is_run(path: Path) -> bool:
    return all((path / file).is_file() for file in ("config.json", "model.safetensors"))
