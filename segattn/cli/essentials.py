"""The options that `segattn COMMAND --help` shows; the others are shown by --help-all."""

from __future__ import annotations

from collections.abc import Mapping

from segattn.cli.commands import SUBCOMMANDS

ESSENTIALS: Mapping[str, tuple[str, ...]] = {
    "study": (
        *("--heads", "--seeds", "--out", "--device", "--jobs", "--engine", "--sweep", "--dry-run"),
        *("--data-root", "--mode", "--backbone", "--iterations", "--batch-size", "--lr", "--precision"),
    ),
    "train": (
        *(
            "--out",
            "--device",
            "--workers",
            "--extend-to",
            "--seed",
            "--init-from",
            "--data.name",
            "--data-root",
            "--head",
        ),
        *("--mode", "--backbone", "--pretrained", "--train", "--iterations", "--batch-size", "--lr", "--precision"),
    ),
    "evaluate": (
        *(
            "--split",
            "--data-root",
            "--mode",
            "--flip",
            "--scales",
            "--strata",
            "--without-attention",
            "--device",
            "--out",
        ),
        *("--write-predictions",),
    ),
    "predict": (
        *("--out", "--confidence", "--probabilities", "--opacity", "--batch-size", "--mode", "--flip", "--scales"),
        *("--device",),
    ),
    "flops": (
        "--heads",
        "--checkpoint",
        "--module",
        "--input",
        "--cross-check",
        "--backbone",
        "--mode",
        "--convention",
        "--format",
    ),
    "bench": (
        *(
            "--heads",
            "--checkpoint",
            "--forms",
            "--parts",
            "--input",
            "--batch-size",
            "--passes",
            "--precision",
            "--compare",
            "--sweep",
            "--device",
        ),
        *("--backbone", "--mode", "--out"),
    ),
    "plan": (
        *("--heads", "--gpu-memory", "--budget", "--backbone", "--mode", "--input", "--batch-size", "--precision"),
        *("--inference", "--device", "--bench", "--iterations"),
    ),
    "data show": ("--out", "--data.name", "--data-root", "--augmentation.crop-size"),
    "data features": ("--heads", "--out", "--device", "--data-root", "--pretrained", "--dry-run"),
}
"""By command, in no order; those that must be given are shown in any case. A command that is not here shows all its options."""


def essentials(command: str) -> tuple[str, ...]:
    """The options that a command's --help shows; empty if it shows all.

    >>> "--jobs" in essentials("study quick"), essentials("study status"), essentials("zoo")
    (True, (), ())
    """
    verb, _, rest = command.partition(" ")
    if verb == "study" and rest in SUBCOMMANDS["study"]:
        return ()
    return ESSENTIALS.get(verb) or ESSENTIALS.get(" ".join(command.split()[:2]), ())


def whole_help(command: str) -> str:
    """The words that show all options of a command."""
    return f"segattn {command} --help" + ("-all" if essentials(command) else "")
