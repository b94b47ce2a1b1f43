"""`segattn data`: get data sets, generate test data, check both, pack them for faster reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from segattn.catalogue import hint
from segattn.cli import features, statistics, terminal
from segattn.cli.arguments import parse
from segattn.cli.values import Size
from segattn.data.tools import check, make, pack, prepare
from segattn.records.pictures import most_pixels

_COMMANDS = {
    "prepare": "list the files to download, then download, extract and convert them",
    "make": "write generated scenes in the layout of a real data set",
    "check": "read all images and masks and list every fault",
    "statistics": "mean and standard deviation of each band of the training images",
    "pack": "decode a data set once, into files that are mapped into memory",
    "features": "compute a frozen backbone's feature maps once, for head-only studies",
}


@dataclass(frozen=True)
class PrepareArguments:
    """Download the parts of a data set that need no account, extract and convert them. Steps already done are skipped."""

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
    """Write generated street scenes and their masks in the layout of a real data set, as test data."""

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
class CheckArguments:
    """Read every image and mask and list all faults. Exit code 0: no faults; 1: faults."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Name of a data set, or dotted path of a module of your own."""
    data_root: Path | None = None
    """Folder of the data set."""
    splits: tuple[str, ...] = ("train", "val", "test")
    """Splits to read."""
    data_options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set, such as version=10k."""
    max_pixels: int | None = None
    """Most pixels of an image, instead of the limit that protects from decompression bombs."""


@dataclass(frozen=True)
class PackArguments:
    """Decode each image once. To train from the result: `--data.name packed --data-root OUT`."""

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
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, _COMMANDS))
        print("usage: segattn data COMMAND [options]\n")
        print("\n".join(f"  {name:{width}}  {text}" for name, text in _COMMANDS.items()))
        return 0
    name, rest = arguments[0], arguments[1:]
    commands = {
        "prepare": _run_prepare,
        "make": _run_make,
        "check": _run_check,
        "statistics": statistics.run,
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
    with _progress(console, _is_download) as on_step:
        done = prepare.prepare(
            chosen.name, root, variant=chosen.variant, on_step=on_step, keep_archives=not chosen.delete_archives
        )
    console.print(
        "\n"
        + "\n".join([*done, f"{root} is ready; check it with `segattn data check {chosen.name} --data-root {root}`"]),
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _is_download(what: str) -> bool:
    return not what.startswith(("extracting", "converting"))


def _run_make(arguments: Sequence[str]) -> int:
    chosen = parse(MakeArguments, arguments, command="data make")
    console = terminal.console()
    with _progress(console) as on_step:
        count = make.make(
            chosen.layout,
            chosen.out,
            images=chosen.images,
            size=chosen.size,
            seed=chosen.seed,
            on_progress=lambda done, total: on_step("drawing", done, total),
        )
    console.print(f"{count} scenes in {chosen.out}, laid out as {chosen.layout}", highlight=False, soft_wrap=True)
    return 0


def _run_pack(arguments: Sequence[str]) -> int:
    chosen = parse(PackArguments, arguments, command="data pack")
    console = terminal.console()
    with most_pixels(chosen.max_pixels), _progress(console) as on_step:
        for line in pack.pack(
            chosen.name,
            chosen.out,
            root=chosen.data_root,
            splits=chosen.splits,
            options=chosen.data_options,
            on_progress=lambda split, done, total: on_step(f"packing {split}", done, total),
        ):
            console.print(line, highlight=False, soft_wrap=True)
    return 0


def _run_check(arguments: Sequence[str]) -> int:
    chosen = parse(CheckArguments, arguments, command="data check")
    console = terminal.console()
    with most_pixels(chosen.max_pixels), _progress(console) as on_step:
        report = check.check(
            chosen.name, root=chosen.data_root, splits=chosen.splits, options=chosen.data_options, on_progress=on_step
        )
    _print_report(console, report)
    return 0 if report.good else 1


def _print_report(console: Console, report: check.Report) -> None:
    if report.notice:
        console.print(report.notice, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("split", "images", "height x width", "masks", "ignored"):
        table.add_column(column, justify="right" if column in ("images", "ignored") else "left")
    for split in report.splits:
        ignored = split.class_pixels[255] / max(1, split.class_pixels.sum())
        modes = ", ".join(f"{count} {mode}" for mode, count in split.modes.most_common()) or "none"
        table.add_row(
            split.split, str(split.num_images), _sizes(split), modes, f"{ignored:.1%}" if split.labelled else ""
        )
    console.print(table)
    _print_classes(console, report)
    for finding in (*report.remarks.values(), *report.faults.values()):
        style = "bold red" if finding.kind in report.faults else "yellow"
        mark = "FAULT" if finding.kind in report.faults else "note"
        console.print(Text.assemble((mark, style), f" {finding.kind}: {finding.count}"))
        for example in finding.examples:
            console.print(f"   {example}", highlight=False, markup=False, soft_wrap=True)
        if finding.count > len(finding.examples):
            console.print(f"   and {finding.count - len(finding.examples)} more", highlight=False)
    total = sum(split.num_images for split in report.splits)
    if report.good:
        good = Text.assemble((f"{report.name} is good", "bold green"), f": {total} images read, nothing wrong")
        console.print(good)
    else:
        count = sum(finding.count for finding in report.faults.values())
        console.print(Text.assemble((f"{report.name} has {count} faults", "bold red"), f" in {total} images"))


def _sizes(split: check.SplitReport) -> str:
    if not split.sizes:
        return ""
    if len(split.sizes) == 1:
        height, width = next(iter(split.sizes))
        return f"{height} x {width}"
    heights, widths = zip(*split.sizes, strict=True)
    return f"{min(heights)}-{max(heights)} x {min(widths)}-{max(widths)}, {len(split.sizes)} sizes"


def _print_classes(console: Console, report: check.Report) -> None:
    labelled = [split for split in report.splits if split.labelled]
    if not labelled:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", title="share of the pixels that count (images)")
    table.add_column("class")
    for split in labelled:
        table.add_column(split.split, justify="right")
    for index, name in enumerate(report.class_names):
        if not any(split.class_images[index] for split in labelled):
            continue  # noted below
        cells = []
        for split in labelled:
            share = split.class_pixels[index] / max(1, split.class_pixels[:255].sum())
            cells.append(f"{share:.2%} ({split.class_images[index]})" if split.class_images[index] else "-")
        table.add_row(f"{index:3} {name}", *cells)
    console.print(table)


@contextmanager
def _progress(console: Console, in_bytes: object = None) -> Iterator[prepare.OnStep]:
    """A bar for each step, where the output is a terminal."""
    quiet = not console.is_terminal
    columns = [terminal.Words("{task.description}"), BarColumn(), TimeRemainingColumn()]
    files = Progress(*columns, MofNCompleteColumn(), console=console, transient=True, disable=quiet)
    if in_bytes is not None:
        files = Progress(*columns, DownloadColumn(), console=console, transient=True, disable=quiet)
    tasks: dict[str, object] = {}

    def on_step(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            for task in files.task_ids:
                files.remove_task(task)
            tasks[what] = files.add_task(what, total=total)
        files.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

    with files:
        yield on_step
