"""Every command in README and docs has a verb and options that exist."""

import contextlib
import functools
import re
import shlex

import pytest

from segattn import experiments
from segattn.cli import main
from segattn.cli.arguments import collecting
from segattn.cli.commands import COMMANDS, EXPERIMENT_FIRST, SUBCOMMANDS
from segattn.cli.old_names import groups
from segattn.cli.options import arity
from tests.places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text):
    """The words of every `segattn ...` line in the blocks of a page."""
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    blocks = [block for language, block in fenced if language in ("", "sh", "bash", "text", "console")]
    blocks += re.findall(r"(?:^    \S.*\n)+", text, re.MULTILINE)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s#.*", "", line.strip().removeprefix("$ "))
            if match := re.match(r"(?:\w+=\S+ )*(?:python -m )?segattn ([a-z].*)", line):
                with contextlib.suppress(ValueError):  # a quotation mark in prose
                    yield shlex.split(match[1])


@functools.cache
def options(command, experiment):
    """What the command takes."""
    with collecting() as collected, contextlib.suppress(SystemExit):
        main([*command.split(), *([experiment] if command in EXPERIMENT_FIRST else [])])
    (taken,) = collected
    return arity(*taken)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_exist(path):
    for words in commands(path.read_text(encoding="utf-8")):
        verb = words[0]
        assert verb in COMMANDS, words
        command = " ".join(words[:2]) if len(words) > 1 and words[1] in SUBCOMMANDS.get(verb, ()) else verb
        if command in ("data", "convert"):
            continue  # prints what may follow
        rest = words[len(command.split()) :]
        named = rest[0] if rest and rest[0] in experiments.names() else "quick"
        known = options(command, named)
        given = {name.partition("=")[0] for name, _ in groups(rest, known) if name}
        assert given <= known.keys(), f"{path.name}: segattn {shlex.join(words)}: no option {given - known.keys()}"


def test_there_are_many():
    assert sum(len(list(commands(path.read_text(encoding="utf-8")))) for path in PAGES) > 70
