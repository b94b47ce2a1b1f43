"""Arguments that several commands take: an experiment with its options, image sizes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import tyro
import yaml

from segattn import config, experiments
from segattn.cli.experiment_options import NAMES
from segattn.cli.options import registry

Arguments = TypeVar("Arguments")


def parse(arguments_type: type[Arguments], arguments: Sequence[str], *, command: str, description: str) -> Arguments:
    """Parse a command's arguments; on --help or a mistake tyro prints and exits."""
    return tyro.cli(
        arguments_type,
        args=list(arguments),
        prog=f"segattn {command}",
        description=description,
        registry=registry(NAMES),
    )


def experiment_and_rest(arguments: Sequence[str], *, command: str, default: str | None = None) -> tuple[str, list[str]]:
    """Split off the experiment's name, which comes first; the default where only options follow.

    Raises:
        ValueError: no experiment was given and there is no default.
    """
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], list(arguments[1:])
    if default is not None:
        return default, list(arguments)
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: segattn {command} EXPERIMENT [options]\n\nexperiments:\n{listing()}\n")
        print(f"  or a file experiment.json/.yaml as a run writes it\n\nOptions: segattn {command} EXPERIMENT --help")
        sys.exit(0)
    raise ValueError(f"segattn {command} needs an experiment: {', '.join(experiments.names())}")


def listing() -> str:
    """Names and first lines of the experiments."""
    return "\n".join(f"  {name:12} {experiments.summary(name)}" for name in experiments.names())


def load_experiment(name: str) -> config.Experiment:
    """An experiment by name, dotted module path, or file."""
    if not name.endswith((".json", ".yaml", ".yml")):
        return experiments.load(name)
    try:
        text = Path(name).read_text()
        return config.from_dict(json.loads(text) if name.endswith(".json") else yaml.safe_load(text))
    except OSError as error:
        raise ValueError(f"cannot read the experiment {name}: {error.strerror}") from None
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ValueError(f"{name}: not readable as {Path(name).suffix[1:].upper()}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def size(text: str) -> tuple[int, int]:
    """`769x769` or `769` as (height, width).

    Raises:
        ValueError: not of that form, or below 1.
    """
    match = re.fullmatch(r"(\d+)(?:[x×,](\d+))?", text.strip())
    if match is None or int(match[1]) < 1 or (match[2] is not None and int(match[2]) < 1):
        raise ValueError(f"size {text!r} should be HEIGHTxWIDTH in pixels, such as 769x769")
    height = int(match[1])
    return height, int(match[2]) if match[2] else height
