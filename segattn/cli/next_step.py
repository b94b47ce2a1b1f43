"""The last line of a command that took long: what to type next, in words that the command takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segattn.catalogue import is_dotted

if TYPE_CHECKING:
    from rich.console import Console

    from segattn.config import Experiment


def show(console: Console, *words: object, modules: Iterable[str] = ()) -> None:
    """Print `Next: segattn ...` below an empty line, on one line if it fits, or else continued as a shell does, before an option
    or what is too long for the line.

    `words` are those behind `segattn`; `modules` follow as `--allow-module`.
    """
    allowed = [word for module in modules for word in ("--allow-module", module)]
    lines = ["Next: segattn"]
    for word in [*map(str, words), *allowed]:
        quoted = shlex.quote(word)
        too_long = len(f"{lines[-1]} {quoted} \\") > console.width and len(lines[-1].split()) > 2
        if word.startswith("-") or too_long:
            lines.append(f"    {quoted}")
        else:
            lines[-1] += f" {quoted}"
    one = " ".join(line.strip() for line in lines)
    shown = one if len(one) <= console.width else " \\\n".join(lines)
    console.print(f"\n{shown}", highlight=False, markup=False, soft_wrap=True)


def show_lines(console: Console, lines: Sequence[str]) -> None:
    """Print several steps; `lines` are shell lines, longer commands continued with a backslash."""
    if lines:
        console.print("\nNext:")
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def label_photos(console: Console, network: object, *options: object, modules: Iterable[str] = ()) -> None:
    """The next step of a network that was trained, converted, exported or scored: your own photos."""
    show(console, "predict", network, "PHOTO", "...", "-o", "labels", *options, modules=modules)


def own_modules(experiment: Experiment) -> list[str]:
    """The modules of the user's that an experiment names, which commands import only where they are allowed."""
    names = (experiment.model.head, experiment.data.name)
    return [name for name in dict.fromkeys(names) if is_dotted(name) and not name.startswith("segattn.")]


def train_on(console: Console, dataset: str, root: object, options: Mapping[str, Any]) -> None:
    """The next step of data that are as they should be: the data set's own experiment, or the small one for any data."""
    from segattn import experiments
    from segattn.cli.values import options_text

    same = dataset in experiments.names() and experiments.load(dataset).data.name == dataset
    named = dataset if same else "folder"
    words: list[object] = ["train", named]
    words += ["--data.name", dataset] if named != dataset else []
    words += [] if root is None else ["--data-root", root]
    words += ["--data-options", options_text(options)] if options else []
    show(console, *words)


def with_words(
    console: Console,
    first: Sequence[str],
    words: Sequence[str],
    *,
    without: Mapping[str, int],
    more: Sequence[str] = (),
) -> None:
    """The next step that takes the options of this one: `words`, as they were typed, behind `first`, with `more` at the end.

    `without` are the options that it does not take, with the number of their values.
    """
    kept: list[str] = []
    skipped = 0
    for word in words:
        name, equals, _ = word.partition("=")
        if skipped:
            skipped -= 1
        elif name in without:
            skipped = 0 if equals else without[name]
        else:
            kept.append(word)
    show(console, *first, *kept, *more)
