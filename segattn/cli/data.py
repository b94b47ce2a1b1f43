"""`segattn data`: get data sets, make test data, find what is wrong with them, pack them for speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from segattn.catalogue import hint
from segattn.cli.arguments import parse, size
from segattn.data.tools import check, make, pack, prepare

_COMMANDS = {
    "prepare": "say what to download from where, download, unpack, convert",
    "make": "write generated scenes in the layout of a real data set",
    "check": "scan images and masks for everything that is wrong",
    "pack": "decode a data set once into files that are mapped into memory",
}


@dataclass(frozen=True)
class PrepareArguments:
    """Get a data set: download what needs no account, unpack, convert; what is there already is not done again."""

    name: Annotated[str, tyro.conf.Positional]
    """Data set: ade20k, voc, coco_stuff, cityscapes, camvid."""
    root: Path | None = None
    """Folder for it; data/NAME if not given."""
    variant: str | None = None
    """Another form of it, such as 10k of coco_stuff."""
    dry_run: bool = False
    """Only say what would be downloaded and what the folder must look like."""
    delete_archives: bool = False
    """Remove each archive after it is unpacked."""


@dataclass(frozen=True)
class MakeArguments:
    """Write generated street scenes with their masks as the files of a real data set, to try things on."""

    what: Annotated[Literal["streets"], tyro.conf.Positional]
    root: Path
    """New or empty folder."""
    layout: str = "cityscapes"
    """cityscapes, ade20k, voc, coco_stuff, coco_stuff10k, camvid or folder."""
    images: int = 20
    """Training images; validation and test get a quarter of that each."""
    size: str = "512x1024"
    """HEIGHTxWIDTH."""
    seed: int = 0


@dataclass(frozen=True)
class CheckArguments:
    """Read every image and mask and list all that is wrong. Exit code 0: nothing; 1: something."""

    name: Annotated[str, tyro.conf.Positional]
    """Data set, or dotted path of your own module."""
    root: Path | None = None
    """Folder of the data set."""
    splits: tuple[str, ...] = ("train", "val", "test")
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set, such as version=10k."""


@dataclass(frozen=True)
class PackArguments:
    """Decode each image once; train from the result with `--data.name packed --data-root OUT`."""

    name: Annotated[str, tyro.conf.Positional]
    """Data set, or dotted path of your own module."""
    out: Annotated[Path, tyro.conf.arg(aliases=("-o",))]
    """New folder."""
    root: Path | None = None
    """Folder of the data set."""
    splits: tuple[str, ...] = ("train", "val")
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set, such as version=10k."""


def run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, _COMMANDS))
        print("usage: segattn data COMMAND [options]\n")
        print("\n".join(f"  {name:{width}}  {text}" for name, text in _COMMANDS.items()))
        return 0
    name, rest = arguments[0], arguments[1:]
    commands = {"prepare": _run_prepare, "make": _run_make, "check": _run_check, "pack": _run_pack}
    if name not in commands:
        close = hint(name, commands, most=1)
        raise ValueError(f"unknown command 'data {name}'; {close}Commands: {', '.join(commands)}")
    return commands[name](rest)


def _run_prepare(arguments: Sequence[str]) -> int:
    chosen = parse(PrepareArguments, arguments, command="data prepare", description=PrepareArguments.__doc__ or "")
    root = chosen.root or Path("data") / chosen.name
    console = Console()
    steps = prepare.instructions(chosen.name, root, chosen.variant)
    console.print(steps, highlight=False, markup=False, soft_wrap=True)
    if chosen.dry_run:
        return 0
    with _progress(console, _is_download) as on_step:
        done = prepare.prepare(
            chosen.name, root, variant=chosen.variant, on_step=on_step, keep_archives=not chosen.delete_archives
        )
    console.print(
        "\n" + "\n".join([*done, f"{root} is ready; `segattn data check {chosen.name} --root {root}` reads it"])
    )
    return 0


def _is_download(what: str) -> bool:
    return not what.startswith(("unpacking", "converting"))


def _run_make(arguments: Sequence[str]) -> int:
    chosen = parse(MakeArguments, arguments, command="data make", description=MakeArguments.__doc__ or "")
    console = Console()
    with _progress(console) as on_step:
        count = make.make(
            chosen.layout,
            chosen.root,
            images=chosen.images,
            size=size(chosen.size),
            seed=chosen.seed,
            on_progress=lambda done, total: on_step("drawing", done, total),
        )
    console.print(f"{count} scenes in {chosen.root}, laid out as {chosen.layout}", highlight=False, markup=False)
    return 0


def _run_pack(arguments: Sequence[str]) -> int:
    chosen = parse(PackArguments, arguments, command="data pack", description=PackArguments.__doc__ or "")
    console = Console()
    with _progress(console) as on_step:
        for line in pack.pack(
            chosen.name,
            chosen.out,
            root=chosen.root,
            splits=chosen.splits,
            options=chosen.options,
            on_progress=lambda split, done, total: on_step(f"packing {split}", done, total),
        ):
            console.print(line, highlight=False, markup=False)
    return 0


def _run_check(arguments: Sequence[str]) -> int:
    chosen = parse(CheckArguments, arguments, command="data check", description=CheckArguments.__doc__ or "")
    console = Console()
    with _progress(console) as on_step:
        report = check.check(
            chosen.name, root=chosen.root, splits=chosen.splits, options=chosen.options, on_progress=on_step
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
    for found in (*report.remarks.values(), *report.faults.values()):
        style = "bold red" if found.kind in report.faults else "yellow"
        mark = "FAULT" if found.kind in report.faults else "note"
        console.print(f"[{style}]{mark}[/] {escape(found.kind)}: {found.count}", highlight=False)
        for example in found.examples:
            console.print(f"   {example}", highlight=False, markup=False, soft_wrap=True)
        if found.count > len(found.examples):
            console.print(f"   and {found.count - len(found.examples)} more", highlight=False)
    total = sum(split.num_images for split in report.splits)
    if report.good:
        console.print(f"[bold green]{report.name} is good[/]: {total} images read, nothing wrong", highlight=False)
    else:
        count = sum(found.count for found in report.faults.values())
        console.print(f"[bold red]{report.name} has {count} faults[/] in {total} images", highlight=False)


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
        table.add_row(f"{index:3} {escape(name)}", *cells)
    console.print(table)


@contextmanager
def _progress(console: Console, in_bytes: object = None) -> Iterator[prepare.OnStep]:
    """A bar for each step, where the output is a terminal."""
    quiet = not console.is_terminal
    columns = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
    files = Progress(*columns, MofNCompleteColumn(), console=console, transient=True, disable=quiet)
    if in_bytes is not None:
        files = Progress(*columns, DownloadColumn(), console=console, transient=True, disable=quiet)
    tasks: dict[str, object] = {}

    def on_step(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            for task in files.task_ids:
                files.remove_task(task)
            tasks[what] = files.add_task(escape(what), total=total)
        files.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

    with files:
        yield on_step
