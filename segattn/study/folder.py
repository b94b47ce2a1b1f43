"""What a study's folder holds beside its runs: `plan.json`, which lists them for other processes; needs no torch.

    {"kind": "plan", "format": 1, "experiment": {...}, "swept": [], "runs": [{"folder": "ccnet-faithful-s0", "settings": {...}}]}

`settings` are those in which a run differs from `experiment`, by path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from segattn import config as configuration
from segattn import records
from segattn.config import Experiment

FORMAT = 1
FILE = "plan.json"
CANCEL = ".cancel"
"""A file of this name stops every job at its next checkpoint, on all machines; a study that is started again removes it."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One run of a written plan."""

    folder: str
    """Relative to the study's folder."""
    settings: dict[str, Any]
    """Those in which it differs from the plan's experiment, by path."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What `plan.json` holds."""

    kind: str
    format: int
    experiment: dict[str, Any]
    swept: list[str]
    runs: list[Planned]

    def experiments(self) -> dict[str, dict[str, Any]]:
        """Each run's experiment in `config.to_dict`'s form, by its folder."""
        return {run.folder: _changed(self.experiment, run.settings) for run in self.runs}


def write(out: Path, runs: Mapping[str, Experiment], swept: Sequence[str] = ()) -> None:
    """Write the plan of a study whose runs have these folders; a file that says the same is left alone.

    Raises:
        ValueError: the folder cannot be written.
    """
    plain = {folder: configuration.to_dict(run) for folder, run in runs.items()}
    first = next(iter(plain.values()))
    planned = [Planned(folder=folder, settings=_differences(first, run)) for folder, run in plain.items()]
    wanted = Written(kind="plan", format=FORMAT, experiment=first, swept=list(swept), runs=planned)
    content = json.dumps(msgspec.to_builtins(wanted), indent=1).encode() + b"\n"
    path = out / FILE
    try:
        if not path.exists() or records.read_bytes(path) != content:
            records.write_bytes(content, path)
    except OSError as error:
        raise ValueError(f"cannot write the study into {out}: {error.strerror or error}") from error


def read(out: Path) -> Written:
    """The plan of the study in this folder.

    Raises:
        ValueError: there is none, it is damaged, or of a later version.
    """
    path = out / FILE
    if not path.exists():
        raise ValueError(f"{out} has no {FILE}; give the folder of a study (its --out)")
    try:
        written = msgspec.convert(records.read_json(path, what="the plan of a study"), Written)
        configuration.from_dict(written.experiment, allow_modules=None)
    except OSError as error:
        raise ValueError(f"{path}: not the plan of a study ({error.strerror})") from None
    except ValueError as error:
        raise ValueError(f"{path}: not the plan of a study ({error!s:.200})") from None
    if written.kind != "plan" or written.format != FORMAT:
        raise ValueError(f"{path}: a plan of format {written.format}; this version reads {FORMAT}")
    for run in written.runs:
        if not (out / run.folder).resolve().is_relative_to(out.resolve()):
            raise ValueError(f"{path}: names the run {run.folder!r}, which is outside the study's folder")
    return written


def _differences(first: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """The settings of `run` that are other ones in `first`: whole fields of a section, or of the experiment."""
    settings: dict[str, Any] = {}
    for name, value in run.items():
        if isinstance(value, dict):
            fields = {f"{name}.{field}": inner for field, inner in value.items() if inner != first[name][field]}
            settings |= fields
        elif value != first[name]:
            settings[name] = value
    return settings


def _changed(settings: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {
        name: dict(value) if isinstance(value, dict) else value for name, value in settings.items()
    }
    for path, value in changes.items():
        section, _, field = path.partition(".")
        if field:
            changed[section][field] = value
        else:
            changed[section] = value
    return changed
