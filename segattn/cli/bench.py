"""`segattn bench`: time and memory on this machine, beside what the machine can do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from segattn import records
from segattn.cli.arguments import parse, size
from segattn.heads import Mode, names
from segattn.records.measurements import Case

Switch = Literal["off", "on", "both"]
Implementation = Literal["auto", "reference", "fast"]
SWEEP_MAPS = ("17", "25", "33", "49", "65", "81", "97", "129")


@dataclass(frozen=True)
class BenchArguments:
    """Time and memory of mechanisms, heads and networks on random inputs, beside the machine's own limits.

    Every case runs in a process of its own; rounds give each of them one pass in turns. Without options: the mechanisms of all
    heads on maps of 97x97, fp32, inference.
    """

    heads: tuple[str, ...] = ("all",)
    parts: tuple[Literal["mechanism", "head", "network"], ...] = ("mechanism",)
    input: tuple[str, ...] = ()
    """Image sizes, HEIGHTxWIDTH in pixels; 769x769 unless given; heads get the maps that the backbone makes of it."""
    map: tuple[str, ...] = ()
    """Sizes of the map instead: 97x97 at output stride 8 is an image of 769x769."""
    batch: tuple[int, ...] = (1,)
    passes: tuple[Literal["inference", "training"], ...] = ("inference",)
    """training: forward and backward with gradients of the inputs; of a network the whole step with SGD."""
    dtypes: tuple[Literal["fp32", "tf32", "bf16", "fp16"], ...] = ("fp32",)
    """bf16 and fp16 are autocast with weights in fp32."""
    implementations: tuple[Implementation, ...] = ("auto",)
    """reference is the equation written out; fast the lean form."""
    compare: str | None = None
    """Two or more implementations with commas, such as reference,fast: the table then has the ratios to the reference."""
    channels_last: Switch = "off"
    compile: Switch = "off"
    """torch.compile."""
    feature_scale: tuple[float, ...] = (1.0,)
    """Factors on the random maps that mechanisms and heads get: does the time depend on the numbers?"""
    sweep: Literal["size"] | None = None
    """size: over map sizes, with the exponent of time and memory, and where one mechanism overtakes another."""
    threads: int | None = None
    """Of each process; torch's own choice unless given."""
    device: Literal["cpu", "cuda"] = "cpu"
    backbone: str = "resnet101"
    output_stride: int = 8
    mode: Mode = "faithful"
    classes: int = 19
    rounds: int = 10
    warmup: int = 2
    """Passes of each case before those that count."""
    seconds_budget: float | None = 120.0
    """Of all timed rounds together: they end early, but not before three. None: no end."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=("-o",))] = None
    """Write the record, which `segattn report` reads, to this file; kept up to date on the way."""
    format: Literal["table", "csv", "json", "markdown"] = "table"


def run(arguments: Sequence[str]) -> None:
    chosen = parse(BenchArguments, arguments, command="bench", description=BenchArguments.__doc__ or "")
    _check(chosen)
    from segattn.benchmark import run as benchmark
    from segattn.device import resolve_device

    resolve_device(chosen.device)
    cases = _cases(chosen)
    settings = benchmark.Settings(
        device=chosen.device,
        threads=chosen.threads,
        rounds=chosen.rounds,
        warmup=chosen.warmup,
        budget_seconds=chosen.seconds_budget,
    )

    def keep(record: records.BenchRecord) -> None:
        if chosen.out is not None:
            records.write(record, chosen.out)

    with _progress() as told:
        record = benchmark.run(
            cases,
            settings,
            suite="bench" if chosen.sweep is None else f"sweep {chosen.sweep}",
            command=shlex.join(["segattn", "bench", *arguments]),
            on_progress=lambda position: told(position.share, position.what),
            on_group=keep,
        )
    keep(record)
    _show(record, chosen)


def _show(record: records.BenchRecord, chosen: BenchArguments) -> None:
    from segattn.report.bench import tables

    console = Console()
    if chosen.format == "json":
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(record), indent=1).decode())
    elif chosen.format == "csv":
        print(tables.csv_text(record), end="")
    elif chosen.format == "markdown":
        print(tables.markdown(record), end="")
    else:
        tables.show(record, console)
        if chosen.out is not None:
            console.print(
                f"\n{chosen.out}: `segattn report {chosen.out}` makes its page", highlight=False, soft_wrap=True
            )


def _check(chosen: BenchArguments) -> None:
    """What can be wrong before torch is there.

    Raises:
        ValueError: options that contradict one another, or numbers out of range.
    """
    if chosen.input and chosen.map:
        raise ValueError("--input and --map are two ways to give the size; use one of them")
    if chosen.compare is not None and chosen.implementations != ("auto",):
        raise ValueError("--compare names the implementations itself; leave --implementations out")
    least = {"rounds": 1, "warmup": 0, "classes": 1}
    for name, value in least.items():
        if getattr(chosen, name) < value:
            raise ValueError(f"--{name} {getattr(chosen, name)} should be at least {value}")
    if chosen.threads is not None and chosen.threads < 1:
        raise ValueError(f"--threads {chosen.threads} should be at least 1")
    if any(batch < 1 for batch in chosen.batch):
        raise ValueError(f"--batch {min(chosen.batch)} should be at least 1")
    if any(not scale > 0 for scale in chosen.feature_scale):
        raise ValueError(f"--feature-scale {min(chosen.feature_scale):g} should be above 0")
    if chosen.out is not None and chosen.out.is_dir():
        raise ValueError(f"--out {chosen.out} is a folder; give a file such as {chosen.out / 'bench.json'}")
    _implementations(chosen)


def _implementations(chosen: BenchArguments) -> tuple[str, ...]:
    if chosen.compare is None:
        if chosen.sweep is not None and chosen.implementations == ("auto",):
            return ("reference",)  # maps are what a sweep is about, and only the equation written out has them
        return chosen.implementations
    found = tuple(name.strip() for name in chosen.compare.split(","))
    allowed = ("auto", "reference", "fast")
    if len(set(found)) < 2 or not set(found) <= set(allowed) or "reference" not in found:
        raise ValueError(
            f"--compare {chosen.compare} should be reference and one or more of auto and fast, such as reference,fast"
        )
    return found


def _cases(chosen: BenchArguments) -> list[Case]:
    from segattn.benchmark.cases import combinations, image_size

    every = sorted(names(), key=lambda name: (name != "fcn", name))
    maps = chosen.map or (SWEEP_MAPS if chosen.sweep and not chosen.input else ())
    sizes = [size(text) for text in chosen.input or ("769x769",)]
    if maps:
        sizes = [image_size(size(text), chosen.output_stride) for text in maps]
    return combinations(
        names=every if chosen.heads == ("all",) else chosen.heads,
        parts=chosen.parts,
        sizes=sizes,
        batches=chosen.batch,
        phases=chosen.passes,
        dtypes=chosen.dtypes,
        implementations=_implementations(chosen),
        channels_last=_both(chosen.channels_last),
        compiled=_both(chosen.compile),
        backbone=chosen.backbone,
        output_stride=chosen.output_stride,
        mode=chosen.mode,
        num_classes=chosen.classes,
        feature_scales=chosen.feature_scale,
    )


def _both(switch: Switch) -> tuple[bool, ...]:
    return {"off": (False,), "on": (True,), "both": (False, True)}[switch]


class _Told:
    """Shows a share in [0, 1] and what is going on: a bar in a terminal, a line for each tenth elsewhere."""

    def __init__(self, console: Console, bar: Progress | None) -> None:
        self.console, self.bar, self.printed = console, bar, -1
        self.task = None if bar is None else bar.add_task("starting", total=1.0)

    def __call__(self, share: float, what: str) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=share, description=what)
        elif int(10 * share) > self.printed:
            self.printed = int(10 * share)
            self.console.print(f"{100 * share:3.0f} %  {what}", highlight=False, markup=False)


@contextmanager
def _progress() -> Iterator[_Told]:
    console = Console(stderr=True)  # standard output is the result
    if not console.is_terminal:
        yield _Told(console, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Told(console, bar)
