"""`segattn push`: a trained network on the Hugging Face Hub, with a model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse


@dataclass(frozen=True)
class PushArguments:
    """Share a trained network on the Hugging Face Hub, with a model card that is written from its record.

        segattn push runs/quick/ccnet-controlled-s0 hf://mylab/ccnet-roads
        segattn push runs/quick/ccnet-controlled-s0 -o shared

    Others load it as segattn.load_model("hf://mylab/ccnet-roads"). With --out nothing is uploaded: the files and the card are
    written into a folder, to look at them first.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, or a name of `segattn zoo`."""
    where: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[hf://USER/NAME]")] = None
    """Repository of the hub, which is made if there is none; hf://USER/NAME@BRANCH for a branch of it."""
    out: Path | None = None
    """Write the files into this folder instead."""
    license: str | None = None
    """Licence of the weights, as the hub names licences, such as cc-by-nc-4.0; by default the card says that none is stated."""
    private: bool = False
    """Make a new repository private; by default as your account has it."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(PushArguments, arguments, command="push")
    if (chosen.where is None) == (chosen.out is None):
        raise ValueError(
            "segattn push needs hf://USER/NAME to upload to, or --out FOLDER to write to; give one of them"
        )
    from segattn import checkpoint, zoo

    if chosen.where is not None:
        zoo.hub.repository(chosen.where)  # a wrong name is an error before anything is read
        address = checkpoint.push_to_hub(
            chosen.run, chosen.where, licence=chosen.license, private=chosen.private or None
        )
        print(f'{chosen.run} is at {address}\nLoad it: segattn.load_model("{chosen.where}")')
        next_step.label_photos(terminal.console(), chosen.where)
        return
    assert chosen.out is not None
    if chosen.private:
        raise ValueError("--private is for a repository of the hub; leave it out with --out")
    folder = checkpoint.save_pretrained(chosen.run, chosen.out, licence=chosen.license)
    print(f"{folder} holds the network and its card, README.md")
    licence = [] if chosen.license is None else ["--license", chosen.license]
    next_step.show(terminal.console(), "push", chosen.run, "hf://USER/NAME", *licence)
