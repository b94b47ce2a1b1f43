"""What --help shows, and that its examples are commands."""

import contextlib
import re
import shlex

import pytest

from segattn.cli import main
from segattn.cli.arguments import collecting
from segattn.cli.commands import COMMANDS, EXPERIMENT_FIRST, SUBCOMMANDS
from segattn.cli.essentials import ESSENTIALS, essentials, whole_help
from segattn.cli.options import arity

LEAVES = [
    *(name for name in COMMANDS if name not in ("data", "convert")),
    *(f"{name} {word}" for name, words in SUBCOMMANDS.items() for word in words),
]


def named(command):
    """The command with an experiment, where it takes one."""
    return f"{command} quick" if command in EXPERIMENT_FIRST else command


def shown(command, capsys, flag="--help"):
    with contextlib.suppress(SystemExit):
        main([*named(command).split(), flag])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ESSENTIALS)
def test_help_has_the_essential_options_and_names_the_rest(command, capsys):
    text = shown(command, capsys)
    for option in ESSENTIALS[command]:
        assert f" {option} " in text or f" {option}," in text
    assert len(text.splitlines()) <= 75
    assert text.endswith(f"\nAll options: {whole_help(named(command))}\n")
    whole = shown(command, capsys, "--help-all")
    assert len(whole.splitlines()) > len(text.splitlines())
    assert "All options" not in whole


def test_no_essential_option_is_lost_when_the_whole_is_asked_for(capsys):
    whole = shown("study", capsys, "--help-all")
    for option in (*ESSENTIALS["study"], "--optimization.momentum", "--slurm.options", "--features-limit"):
        assert f" {option} " in whole or f" {option}," in whole


@pytest.mark.parametrize("command", LEAVES)
def test_help_has_two_examples_with_options_that_exist(command, capsys):
    text = shown(command, capsys)
    examples = re.findall(r"^    (segattn .*)$", text, re.MULTILINE)
    assert len(examples) >= 2, f"give segattn {command} two examples, indented lines in the docstring of its arguments"
    with collecting() as collected, contextlib.suppress(SystemExit):
        main(named(command).split())
    (taken,) = collected
    for example in examples:
        words = shlex.split(re.split(" {2,}", example)[0])[1:]
        assert words[0] == command.split()[0]
        options = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert options <= arity(*taken).keys(), example


@pytest.mark.parametrize("command", [name for name in LEAVES if not essentials(named(name))])
def test_help_that_shows_everything_is_short(command, capsys):
    text = shown(command, capsys)
    assert len(text.splitlines()) <= 60, f"name the essential options of segattn {command} in segattn/cli/essentials.py"


def test_mistake_leads_to_the_whole_help(capsys):
    assert main(["train", "quick", "--no-such"]) == 2
    assert "All options: segattn train quick --help-all" in capsys.readouterr().err
    assert main(["zoo", "--no-such"]) == 2
    assert "All options: segattn zoo --help\n" in capsys.readouterr().err
