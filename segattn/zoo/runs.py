"""Folders of trained networks on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from segattn import zoo


def find_runs(folder: str | os.PathLike[str]) -> list[Path]:
    """Folders of trained models: `folder` itself, or the folders in it, such as the finished runs of a study.

    Raises:
        ValueError: there is no trained model in any of them.
    """
    folder = Path(folder)
    candidates = [folder, *sorted(folder.glob("[!.]*"))]
    models = [
        path for path in candidates if (path / "config.json").is_file() and (path / "model.safetensors").is_file()
    ]
    if not models:
        what = "has no trained network" if folder.is_dir() else "is not a folder"
        advice = "give the folder of a finished run, or of a study such as runs/quick"
        raise ValueError(f"{folder} {what}; {advice}{zoo.offer(folder)}")
    return models[:1] if models[0] == folder else models
