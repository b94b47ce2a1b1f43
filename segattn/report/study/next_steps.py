"""What to type after a study: attention maps, the explorer, a comparison, with the paths of this study."""

from __future__ import annotations

import shlex
from pathlib import Path

from segattn.records.pictures import picture_size
from segattn.report.study.rows import Run, called
from segattn.report.study.study import Study

Command = list[list[str]]
"""Words of a command, those that stay on one line together."""


def next_steps(study: Study, *, width: int = 80) -> list[str]:
    """Lines to copy into a shell, longer ones continued with a backslash; [] where there is nothing to do.

    Maps and explorer need trained networks beside the records, a comparison needs two of them.
    """
    commands = [command for command in (_maps(study), _demo(study), _compare(study)) if command]
    return [line for command in commands for line in _lines(command, width)]


def _maps(study: Study) -> Command:
    run, photo = _attending(study), _photo(study)
    if run is None or photo is None:
        return []
    path, (x, y) = photo
    return [["segattn", "maps", str(_folder(study) or run.folder)], ["--image", str(path)], ["--pixel", f"{x},{y}"]]


def _demo(study: Study) -> Command:
    run = _attending(study)
    return [] if run is None else [["segattn", "demo", str(_folder(study) or run.folder)]]


def _compare(study: Study) -> Command:
    """The first row with its baseline, or with the second row."""
    if len(study.rows) < 2:
        return []
    first = study.rows[0]
    second = study.baseline(first)
    second = study.rows[1] if second is None or second is first else second
    folder = _folder(study)
    if folder is None or len({row.experiment for row in study.rows}) > 1:
        return [["segattn", "compare", str(first.runs[0].folder)], [str(second.runs[0].folder)]]
    names = [called(row, study.rows) for row in (first, second)]
    return [["segattn", "compare", str(folder)], ["--heads", *names]]


def _folder(study: Study) -> Path | None:
    """The folder of the study: the one that holds all runs; None where they lie in several, or there is a single run."""
    parents = {run.folder.parent for run in study.runs}
    return parents.pop() if len(parents) == 1 and len(study.runs) > 1 else None


def _attending(study: Study) -> Run | None:
    """A run with an attention head whose network is beside its record."""
    runs = [run for row in study.rows if not row.is_baseline for run in row.runs]
    return next((run for run in runs if (run.folder / "model.safetensors").is_file()), None)


def _photo(study: Study) -> tuple[Path, tuple[int, int]] | None:
    """A photograph and a pixel of it: one of the study's telling pixels, or else the centre of an example."""
    for record, folder in zip(
        study.studies, study.folders, strict=False
    ):  # a study put together in memory has no folders
        for look in record.looks.pictures if record.looks else ():
            if (folder / look.photo).is_file():
                return folder / look.photo, look.pixel
    examples = [run.folder / example.image for run in study.runs for example in run.record.examples]
    path = next((path for path in examples if path.is_file()), None)
    if path is None:
        return None
    try:
        width, height = picture_size(path, ("PNG", "JPEG"))
    except Exception:  # Pillow raises errors of any type on a broken file
        return None
    return path, (width // 2, height // 2)


def _lines(command: Command, width: int) -> list[str]:
    """The command on one line if it fits, otherwise broken between its groups."""
    first, *others = map(shlex.join, command)
    lines = [first]
    for group in others:
        if len(f"{lines[-1]} {group}") > width - 2:
            lines.append(f"    {group}")
        else:
            lines[-1] += f" {group}"
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
