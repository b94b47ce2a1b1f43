"""`segattn data init`: start on a folder of one's own; `segattn data show`: a sheet of augmented samples with their labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from segattn.cli import next_step, terminal
from segattn.cli.arguments import check_modules, experiment_and_rest, parse, with_experiment
from segattn.cli.values import Modules, options_text
from segattn.data.tools import init

_LONGEST = 12
"""Classes that are listed."""


@dataclass(frozen=True)
class InitArguments:
    """Look at a folder of images and masks, write its classes.json, and print the commands to go on with. Nothing is asked.

    segattn data init data/mine
    segattn data init data/mine --force
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder of the data: images and masks in two folders or side by side, with splits or without."""
    force: bool = False
    """Overwrite classes.json."""


def run_init(arguments: Sequence[str]) -> int:
    """Run `segattn data init` with these words."""
    chosen = parse(InitArguments, arguments, command="data init")
    started = init.start(chosen.folder, force=chosen.force)
    console = terminal.console()
    for line in [*_seen(started, chosen.folder), "", *_next(started, chosen.folder)]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _seen(started: init.Started, folder: Path) -> list[str]:
    looked = started.survey
    example = looked.pairs["train"][0]
    counts = ", ".join(f"{len(pairs)} {split}" for split, pairs in looked.pairs.items())
    kinds = ", ".join(f"{count} with {kind}" for kind, count in started.kinds.most_common())
    lines = [
        f"{folder}: {looked.num_pictures} pictures; images with masks: {counts}",
        f"  such as {_below(example.image, folder)}",
        f"      and {_below(example.label, folder)}",
    ]
    lines += [f"  {looked.notice}"] if looked.notice else []
    lines += _bands(started)
    lines.append(f"{started.num_masks} masks read: {kinds}")
    if "resize_masks" in started.options:
        lines.append("  masks differ in size from their images: resize_masks=nearest brings them to it")
    if started.options.get("exif") == "ignore":
        lines.append("  masks are drawn on the images as stored, not as EXIF turns them: exif=ignore reads them so")
    lines += [f"  value 255: {started.ignored:,} pixels, ignored"] if started.ignored else []
    if not started.written:
        return [*lines, f"{started.classes}: there already, left as it is (--force writes classes.json anew)"]
    shown = started.entries[:_LONGEST]
    lines.append(f"{started.classes}: written, {len(started.entries)} classes; change the names there")
    lines += [f"  {_entry(index, entry)}" for index, entry in enumerate(shown)]
    return [*lines, f"  and {len(started.entries) - _LONGEST} more"] if len(started.entries) > _LONGEST else lines


def _bands(started: init.Started) -> list[str]:
    """What images of other bands than RGB, or of other values than 8 bits, have."""
    options, lines = started.options, list[str]()
    if isinstance(bands := options.get("bands"), list):
        lines.append(f"  each image has {len(bands)} files, {started.bands} bands in all: {', '.join(bands)}")
    elif bands is not None:
        lines.append(f"  each image has {bands} band{'' if bands == 1 else 's'}")
    if way := options.get("resize_bands"):
        lines.append(f"  bands differ in size: resize_bands={way} brings them to that of the largest")
    if started.span is not None:
        low, high = started.span
        black, white = options["value_range"]
        lines.append(
            f"  values from {low:,.6g} to {high:,.6g}: value_range=[{black},{white}] makes {black} black, {white} white"
        )
    return lines


def _entry(index: int, entry: Mapping[str, Any]) -> str:
    value = f", value {entry['value']} in masks" if "value" in entry else ""
    return f"{index} {entry['name']}, colour {' '.join(map(str, entry['colour']))}{value}"


def _below(path: Path | None, folder: Path) -> str:
    return str(path.relative_to(folder)) if path is not None and path.is_relative_to(folder) else str(path)


def _next(started: init.Started, folder: Path) -> list[str]:
    """The commands to go on with; pasted into a shell, they run."""
    options = ["--data-options", options_text(started.options)] if started.options else []
    where = ["--data-root", str(folder), *options]
    side = max(32, min(256, *started.size) // 32 * 32)
    crop = ["--augmentation.crop-size", f"{side}x{side}"] if side != 256 else []
    channels = ["--model.in-channels", str(started.bands)] if started.bands != 3 else []
    splits = [] if "test" in started.survey.pairs else ["--splits", "train", "val"]
    commands = {
        "Check every file:": ["segattn", "data", "check", "folder", *where, *splits],
        "Look at samples as training sees them:": [
            *(
                "segattn",
                "data",
                "show",
                "folder",
                *where,
                *crop,
                "-o",
                f"{folder.resolve().name or 'data'}-samples.png",
            ),
        ],
        "Train a small network:": ["segattn", "train", "folder", *where, *crop, *channels],
    }
    return [line for title, words in commands.items() for line in (title, f"  {shlex.join(words)}")]


@dataclass(frozen=True, kw_only=True)
class ShowArguments:
    """Draw augmented training samples beside their labels, with the names of the classes; ignored pixels are hatched in grey.

    segattn data show quick
    segattn data show folder --data-root data/mine -o samples.png
    """

    out: Path = Path("samples.png")
    """Picture to write, a .png or .jpg."""
    samples: int = 8
    """Number of samples: the first of a training with this --seed."""
    columns: int = 2
    """Samples side by side."""
    tile: int = 320
    """Longest side of a sample on the sheet, in pixels."""
    split: str | None = None
    """Split to draw from; the experiment's training split by default."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where EXPERIMENT is a file that names one of yours."""


def run_show(arguments: Sequence[str]) -> int:
    """Run `segattn data show` with these words."""
    name, rest = experiment_and_rest(arguments, command="data show", about=ShowArguments.__doc__)
    options = with_experiment(ShowArguments, name)
    chosen: Any = parse(options, rest, command=f"data show {name}", description=ShowArguments.__doc__)
    config = check_modules(chosen.config, name, chosen.allow_module, rest)
    if chosen.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"--out {chosen.out}: give a name that ends in .png or .jpg")
    from segattn.data.splits import load_split, notices
    from segattn.data.tools.show import GREY, sheet
    from segattn.inference.legend import beside, legend

    console = terminal.console()
    dataset = load_split(config.data, chosen.split or config.data.train_split, config.data.train_images)
    rare = None
    if config.optimization.rare_class_sampling:
        from segattn.training import execution, rare_classes

        rare = rare_classes.sampling(config, dataset, None, execution.accelerator("fp32", "cpu"), console.print)
    drawn = sheet(
        dataset,
        config.augmentation,
        rare=rare,
        samples=chosen.samples,
        columns=chosen.columns,
        tile=chosen.tile,
        seed=config.seed,
        network=config.model,
    )
    total = sum(drawn.pixels.values())
    order = sorted(
        (index for index in drawn.pixels if index < dataset.num_classes), key=lambda index: -drawn.pixels[index]
    )
    rows = [
        (f"{dataset.class_names[index]} {_share(drawn.pixels[index], total)}", dataset.palette[index])
        for index in order
    ]
    if ignored := drawn.pixels[dataset.ignore_index]:
        rows.append((f"ignored, padding {_share(ignored, total)}", GREY))
    texts, colours = zip(*rows, strict=True)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    beside(drawn.picture, legend(drawn.picture.shape[0], texts, colours)).save(chosen.out)
    for line in (
        *notices(dataset),
        f"{chosen.samples} sample{'s' * (chosen.samples != 1)} of {dataset.title} {dataset.split}: {chosen.out}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    own = ("--out", "-o", "--samples", "--columns", "--tile", "--split")
    next_step.with_words(console, ["train", name], rest, without=dict.fromkeys(own, 1))
    return 0


def _share(pixels: int, total: int) -> str:
    share = 100 * pixels / max(1, total)
    return f"{share:.1f} %" if share >= 0.05 else "< 0.1 %"
