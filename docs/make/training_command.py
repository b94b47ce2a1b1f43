"""The command that trains an experiment, worked out from its settings."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any, get_type_hints

from segattn import config, experiments
from segattn.cli import values


def command_of(experiment: config.Experiment) -> str:
    """The command that trains the experiment, from the experiment of that name and all settings that differ from it.

    Raises:
        ValueError: there is no experiment of that name.
    """
    if experiment.name not in experiments.names():
        raise ValueError(f"{experiment.name} is not an experiment of segattn; say --command and --trunk-command")
    return shlex.join(["segattn", "train", experiment.name, *_options(experiment, experiments.load(experiment.name))])


def _options(own: Any, committed: Any, prefix: str = "--") -> list[str]:
    words: list[str] = []
    for field in dataclasses.fields(own):
        value, option = getattr(own, field.name), f"{prefix}{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(value):
            words += _options(value, getattr(committed, field.name), f"{option}.")
        elif value != getattr(committed, field.name):
            if isinstance(value, bool):
                words += [option if value else f"{prefix}no-{field.name.replace('_', '-')}"]
            else:
                words += [option, *values.text(get_type_hints(type(own))[field.name], value)]
    return words
