"""`segattn data`: get data sets, generate test data, start on a folder of one's own, check, show and pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from segattn.catalogue import hint
from segattn.cli import features, next_step, terminal
from segattn.cli.arguments import parse
from segattn.cli.data import checking, own, statistics
from segattn.cli.data.steps import progress
from segattn.cli.values import Size
from segattn.data.tools import make, pack, prepare
from segattn.records.pictures import most_pixels

_COMMANDS = {
    "prepare": "list the files to download, then get, extract and convert them",
    "make": "write generated scenes in the layout of a real data set",
    "init": "look at your own folder, write its class list, print what to type",
    "check": "read all images and masks and list every fault",
    "statistics": "mean and standard deviation of each band of the training images",
    "show": "draw augmented samples with their labels on a sheet",
    "pack": "decode a data set once, into files that are mapped into memory",
    "features": "compute a frozen backbone's maps once, for head-only studies",
}


@dataclass(frozen=True)
class PrepareArguments:
    """Download the parts of a data set that need no account, extract and convert them. Steps already done are skipped.

    segattn data prepare ade20k
    segattn data prepare cityscapes --dry-run
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """ade20k, voc, coco_stuff, cityscapes or camvid."""
    out: Path | None = None
    """Folder of the data set; by default data/DATASET."""
    variant: str | None = None
    """Variant of the data set, such as 10k of coco_stuff."""
    dry_run: bool = False
    """Only print what would be downloaded and what the folder must contain."""
    delete_archives: bool = False
    """Delete each archive after extracting it."""


@dataclass(frozen=True)
class MakeArguments:
    """Write generated street scenes and their masks in the layout of a real data set, as test data.

    segattn data make streets -o data/made
    segattn data make streets -o data/voc --layout voc --images 40
    """

    what: Annotated[Literal["streets"], tyro.conf.Positional]
    """What to generate."""
    out: Path
    """New or empty folder."""
    layout: str = "cityscapes"
    """cityscapes, ade20k, voc, coco_stuff, coco_stuff10k, camvid or folder."""
    images: int = 20
    """Number of training images; validation and test get a quarter of it each."""
    size: Size = (512, 1024)
    """Size of the images in pixels."""
    seed: int = 0
    """The same seed gives the same images."""


@dataclass(frozen=True)
class PackArguments:
    """Decode each image once. To train from the result: `--data.name packed --data-root OUT`.

    segattn data pack camvid --data-root data/camvid -o data/camvid-packed
    segattn data pack voc --data-root data/voc -o data/voc-packed
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Name of a data set, or dotted path of a module of your own."""
    out: Path
    """New folder."""
    data_root: Path | None = None
    """Folder of the data set."""
    splits: tuple[str, ...] = ("train", "val")
    """Splits to decode."""
    data_options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set, such as version=10k."""
    max_pixels: int | None = None
    """Most pixels of an image, instead of the limit that protects from decompression bombs."""


def run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "--help-all"):
        width = max(map(len, _COMMANDS))
        print("usage: segattn data COMMAND [options]\n")
        print("\n".join(f"  {name:{width}}  {text}" for name, text in _COMMANDS.items()))
        print("\n    segattn data init data/mine\n    segattn data check camvid --data-root data/camvid")
        return 0
    name, rest = arguments[0], arguments[1:]
    commands = {
        "prepare": _run_prepare,
        "make": _run_make,
        "init": own.run_init,
        "check": checking.run,
        "statistics": statistics.run,
        "show": own.run_show,
        "pack": _run_pack,
        "features": features.run,
    }
    if name not in commands:
        close = hint(name, commands, most=1)
        raise ValueError(f"unknown command 'data {name}'; {close}Commands: {', '.join(commands)}")
    return commands[name](rest)


def _run_prepare(arguments: Sequence[str]) -> int:
    chosen = parse(PrepareArguments, arguments, command="data prepare")
    root = chosen.out or Path("data") / chosen.name
    console = terminal.console()
    steps = prepare.instructions(chosen.name, root, chosen.variant)
    console.print(steps, highlight=False, markup=False, soft_wrap=True)
    if chosen.dry_run:
        return 0
    with progress(console, _is_download) as on_step:
        done = prepare.prepare(
            chosen.name, root, variant=chosen.variant, on_step=on_step, keep_archives=not chosen.delete_archives
        )
    console.print("\n" + "\n".join([*done, f"{root} is ready"]), highlight=False, soft_wrap=True)
    options = [] if chosen.variant is None else ["--data-options", f"version={chosen.variant}"]
    next_step.show(console, "data", "check", chosen.name, "--data-root", root, *options)
    return 0


def _is_download(what: str) -> bool:
    return not what.startswith(("extracting", "converting"))


def _run_make(arguments: Sequence[str]) -> int:
    chosen = parse(MakeArguments, arguments, command="data make")
    console = terminal.console()
    with progress(console) as on_step:
        count = make.make(
            chosen.layout,
            chosen.out,
            images=chosen.images,
            size=chosen.size,
            seed=chosen.seed,
            on_progress=lambda done, total: on_step("drawing", done, total),
        )
    console.print(
        f"{count} scene{'s' * (count != 1)} in {chosen.out}, laid out as {chosen.layout}",
        highlight=False,
        soft_wrap=True,
    )
    layout = {"coco_stuff10k": ("coco_stuff", "--data-options", "version=10k")}.get(chosen.layout, (chosen.layout,))
    next_step.show(console, "data", "check", *layout, "--data-root", chosen.out)
    return 0


def _run_pack(arguments: Sequence[str]) -> int:
    chosen = parse(PackArguments, arguments, command="data pack")
    console = terminal.console()
    with most_pixels(chosen.max_pixels), progress(console) as on_step:
        for line in pack.pack(
            chosen.name,
            chosen.out,
            root=chosen.data_root,
            splits=chosen.splits,
            options=chosen.data_options,
            on_progress=lambda split, done, total: on_step(f"packing {split}", done, total),
        ):
            console.print(line, highlight=False, soft_wrap=True)
    next_step.train_on(console, "packed", chosen.out, {})
    return 0
