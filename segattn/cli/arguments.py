"""Arguments that several commands take, and how a command's words become its options."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any, TypeVar

import tyro

from segattn import config, experiments
from segattn.cli import mistakes, old_names, positionals
from segattn.cli.essentials import essentials
from segattn.cli.experiment_options import DETAILS, ExperimentOptions
from segattn.cli.options import Details, arity, mappings, registry, without
from segattn.cli.values import Device, Modules, Tracker

Arguments = TypeVar("Arguments")
_FILES = (".json", ".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """Where runs happen, which their experiments do not say: of `train` and `study`."""

    device: Device = "auto"
    """auto: the GPU if there is one."""
    workers: int = 0
    """Processes that prepare images; 0: the training process prepares them itself, between steps."""
    track: tuple[Tracker, ...] | None = None
    """Trackers that each run is written to, with its settings and scores, such as wandb or tensorboard trackio; by default
    tensorboard, if it is installed."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where EXPERIMENT is a file that names one of yours."""


def parse(
    arguments_type: type[Arguments],
    words: Sequence[str],
    *,
    command: str,
    description: str | None = None,
    brief: str | None = None,
    details: Details = DETAILS,
) -> Arguments:
    """A command's options from its words; --help prints those of `essentials` and exits, --help-all prints all of them.

    `description` stands above the options, in --help `brief` where it is given; the docstring of `arguments_type` without both.
    Old names work, with a notice.

    Raises:
        ValueError: an unknown option, a value of another form, something missing; one line.
    """
    if _collected is not None:
        _collected.append((arguments_type, details))
        sys.exit(0)
    counts = arity(arguments_type, details)
    words = old_names.current(words, command=command, arity=counts)
    words = _merged(words, counts, mappings(arguments_type, details))
    words = positionals.freed(words, counts, arguments_type, details)
    settings = {"args": words, "prog": f"segattn {command}", "description": "@", "registry": registry(details)}
    if not {"-h", "--help", "--help-all"}.isdisjoint(words):
        shown = () if "--help-all" in words else essentials(command)
        text = (brief if shown else None) or description or arguments_type.__doc__ or ""
        _help(arguments_type, text, {**settings, "args": ["--help"]}, details, shown)
    for name, following in old_names.groups(words, counts):
        if not following and name in counts and counts[name] is None and "." not in name:
            raise ValueError(f"{name} needs one value or more; see segattn {command} --help")
    with contextlib.redirect_stdout(_Printed()), contextlib.redirect_stderr(io.StringIO()) as box, _unwrapped():
        try:
            chosen, left = tyro.cli(arguments_type, **settings, return_unknown_args=True)  # type: ignore[call-overload]
        except SystemExit:
            unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in counts]
            if unknown:  # the likely reason that something is missing
                raise ValueError(mistakes.unknown(unknown, counts, command=command)) from None
            raise ValueError(mistakes.one_line(box.getvalue(), command=command)) from None
    if left:
        raise ValueError(mistakes.unknown(left, counts, command=command))
    return chosen


def _merged(words: Sequence[str], counts: Mapping[str, int | None], aliases: Mapping[str, str]) -> list[str]:
    """The words with one option NAME=VALUE,... where several were given, since the last would replace the others.

    Raises:
        ValueError: several that cannot be put together, as one is a mapping in braces.
    """
    merged, places = list[list[str]](), dict[str, int]()
    for name, following in old_names.groups(words, counts):
        plain, equals, value = name.partition("=")
        option = aliases.get(plain)
        if option is None or not (equals or following):
            merged.append([name, *following] if name else following)
            continue
        text = value if equals else following[0]
        if option not in places:
            places[option] = len(merged)
            merged.append([plain, text])
            continue
        first = merged[places[option]]
        if "{" in (first[1].lstrip()[:1], text.lstrip()[:1]):
            raise ValueError(f"{option} is given twice; give it once: {plain} NAME=VALUE,NAME=VALUE")
        first[1] = f"{first[1]},{text}"
    return [word for group in merged for word in group]


_collected: list[tuple[type, Details]] | None = None


@contextlib.contextmanager
def collecting() -> Iterator[list[tuple[type, Details]]]:
    """Commands run within it end where they would parse their words; the list gets the dataclass and the details of each."""
    global _collected
    _collected = []
    try:
        yield _collected
    finally:
        _collected = None


class _Printed(io.StringIO):
    """Takes what tyro prints; with the colours of a terminal where standard output is one."""

    encoding = "utf-8"  # tyro draws its boxes accordingly

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__()
        self.colours = colours

    def isatty(self) -> bool:
        return self.colours


def _help(
    arguments_type: type, description: str, settings: dict[str, object], details: Details, shown: Sequence[str]
) -> None:
    """Print the help, with the description and the usage wrapped to the terminal, and exit; with `shown`, of these options."""
    if shown:
        settings = {**settings, "registry": registry(without(arguments_type, details, shown), brief=True)}
    with contextlib.redirect_stdout(_Printed(colours=sys.stdout.isatty())) as printed, contextlib.suppress(SystemExit):
        tyro.cli(arguments_type, **settings)  # type: ignore[call-overload]
    usage, _, boxes = printed.getvalue().partition("\n@\n")
    about = wrapped(with_examples(description))
    print(f"{wrapped(' '.join(usage.split()), indent=' ' * 8)}\n\n{about}\n{boxes}", end="")
    if shown:
        print(f"\nAll options: {settings['prog']} --help-all")
    sys.exit(0)


def with_examples(docstring: str) -> str:
    """The text of a docstring, with its examples indented also where nothing else follows its first line.

    >>> with_examples("List them.\\n\\n        segattn zoo\\n    ")
    'List them.\\n\\n    segattn zoo'
    """
    return re.sub(r"(?m)^(?=segattn \w+.*\n?(?:segattn |\n|\Z))", "    ", cleandoc(docstring))


def wrapped(text: str, *, indent: str = "") -> str:
    """Paragraphs wrapped to the terminal (at most 100 columns); indented lines stay as they are."""
    width = min(shutil.get_terminal_size().columns, 100)
    paragraphs = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith((" ", "usage:")) and not indent:
            paragraphs.append(paragraph)
        else:
            paragraphs.append(textwrap.fill(paragraph, width, subsequent_indent=indent, break_on_hyphens=False))
    return "\n\n".join(paragraphs)


@contextlib.contextmanager
def _unwrapped() -> Iterator[None]:
    """Messages on lines of any length: what is wrapped cannot be joined again."""
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns


def experiment_and_rest(
    arguments: Sequence[str], *, command: str, about: str | None = "", default: str | None = None
) -> tuple[str, list[str]]:
    """Split off the experiment's name, which comes first; the default where only options follow. --help lists them.

    `about` is the command's docstring, which --help shows above them.

    Raises:
        ValueError: no experiment was given and there is no default.
    """
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], list(arguments[1:])
    if default is not None:
        return default, list(arguments)
    if arguments and arguments[0] in ("-h", "--help", "--help-all"):
        print(f"usage: segattn {command} EXPERIMENT [options]\n\n{wrapped(with_examples(about or ''))}\n")
        print(f"experiments:\n{listing()}\n")
        print(
            f"  or a file experiment.json or .yaml, as a run writes it\n\nOptions: segattn {command} EXPERIMENT --help"
        )
        sys.exit(0)
    raise ValueError(f"segattn {command} needs an experiment: {', '.join(experiments.names())}")


def listing() -> str:
    """Names and first lines of the experiments, wrapped to the terminal."""
    lines = (f"  {name:12} {experiments.summary(name)}" for name in experiments.names())
    return "\n".join(wrapped(line, indent=" " * 15) for line in lines)


def with_experiment(arguments_type: type, name: str) -> Any:
    """The command's options and those of the experiment, whose values are the defaults, as `config`."""
    return make_dataclass(
        arguments_type.__name__.replace("Arguments", "Options"),
        [("config", ExperimentOptions, field(default=load_experiment(name)))],
        bases=(arguments_type,),
        frozen=True,
        kw_only=True,
    )


def load_experiment(name: str) -> config.Experiment:
    """An experiment by name, dotted module path, or file; what a file names is for `check_modules`."""
    if not name.endswith(_FILES):
        return experiments.load(name)
    from segattn.data.files.plain import read_plain

    try:
        raw = read_plain(Path(name), Path(name).suffix[1:].upper())
    except OSError as error:
        raise ValueError(f"cannot read the experiment {name}: {error.strerror}") from None
    try:
        return config.from_dict(raw, allow_modules=None)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def default_seeds(name: str) -> int:
    """How many seeds a study of this experiment runs where --seeds is not given; 1 for a file."""
    return 1 if name.endswith(_FILES) else experiments.seeds(name)


def check_modules(
    chosen: config.Experiment, name: str, allow_modules: Sequence[str], words: Sequence[str]
) -> config.Experiment:
    """The experiment, before anything is imported that it names; `words` are those that followed its name.

    Raises:
        ValueError: it is of a file that names a module, which neither `allow_modules` nor any of the words names.
    """
    if name.endswith(_FILES):
        typed = {word.rpartition("=")[2] for word in words} & {chosen.model.head, chosen.data.name}
        try:
            config.from_dict(config.to_dict(chosen), allow_modules=[*allow_modules, *typed])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return chosen


def head_names(chosen: Sequence[str]) -> tuple[str, ...]:
    """The heads of `--heads`: names, dotted module paths, and words that stand for several heads, the baseline first.

    `study`: fcn and the nine heads of the study; `baselines`: the heads without attention; `all`: every head of segattn.

    Raises:
        ValueError: a head that does not exist.
    """
    from segattn import heads
    from segattn.cost import baselines_first, head_facts

    several: dict[str, list[str]] = {}
    if not {"study", "baselines", "all"}.isdisjoint(chosen):
        every = baselines_first(heads.names())
        without = [name for name in every if not head_facts(name).attends]
        several = {"study": list(experiments.STUDY_HEADS), "baselines": without, "all": every}
    expanded = [name for each in chosen for name in several.get(each, [each])]
    for name in expanded:
        heads.module(name)
    return tuple(dict.fromkeys(expanded)) if several else tuple(expanded)
