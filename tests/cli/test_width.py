"""What commands print fits a terminal of 80 columns, with every figure; a pipe is as wide."""

import contextlib
import re

import pytest

from segattn.cli import COMMANDS, main

PLAN = [
    "plan",
    "--heads",
    "denoised_nl",
    "--backbone",
    "resnet18",
    "--input",
    "65",
    "--batch-size",
    "2",
    "--device",
    "cpu",
]


@pytest.mark.parametrize(
    ("words", "figures"),
    [
        (["heads"], ["arXiv", "denoised_nl", "Interlaced Sparse Self-Attention"]),
        (["flops", "--heads", "denoised_nl", "--input", "65", "--backbone", "resnet18"], ["mechanism", "denoised_nl"]),
        (["flops", "--heads", "denoised_nl", "--input", "65", "--convention", "all"], ["5.996", "11.991", "12.001"]),
        pytest.param(
            [*PLAN, "--gpu-memory", "24GB", "--step-seconds", "1"],
            ["largest", "22.2", "libraries", "temporary"],
            marks=pytest.mark.long,
        ),
        (["plan", "--budget", "25Mparameters", "--heads", "fcn", "ccnet"], ["resnet18", "Mparams"]),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_output_fits_and_nothing_is_cut(words, figures, capsys):
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for figure in figures:
        assert figure in shown


SUBCOMMANDS = [
    "data prepare",
    "data make",
    "data init",
    "data check",
    "data show folder",
    "data pack",
    "data features quick",
    "convert mmseg",
    "convert to-mmseg",
    "train quick",
    "study quick",
]


@pytest.mark.parametrize("option", ["--help", "--help-all"])
@pytest.mark.parametrize("command", ["", *COMMANDS, *SUBCOMMANDS])
def test_help_fits_and_shows_no_python(command, option, capsys):
    with contextlib.suppress(SystemExit):
        assert main([*command.split(), option]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for sign in ("{None}", "(default: )", "(default: False)", "(default: True)", "PosixPath", "', '", "STR"):
        assert sign not in shown


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS, "data show", "data features"])
def test_help_has_two_examples(command, capsys):
    with contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    verb = " ".join(word for word in command.split() if word not in ("quick", "folder"))
    examples = re.findall(rf"(?m)^    segattn {verb}\b.*", capsys.readouterr().out)
    assert len(set(examples)) >= 2
