"""`segattn bench`: time and memory on this machine, relative to its limits."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from segattn import records
from segattn.cli import next_step, terminal, trained
from segattn.cli.arguments import head_names, parse
from segattn.cli.bench_progress import progress
from segattn.cli.values import Device, Modules, Size
from segattn.heads import Mode
from segattn.records.bench import Case

Switch = Literal["off", "on", "both"]
Implementation = Literal["auto", "reference", "fast"]
Form = Literal["eager", "optimized", "channels-last", "inductor", "onnx", "openvino", "bf16", "int8", "all"]
SWEEP_MAPS = (17, 25, 33, 49, 65, 81, 97, 129)


@dataclass(frozen=True)
class BenchArguments:
    """Measure time and memory of mechanisms, heads and networks on random inputs, relative to the machine's limits.

        segattn bench --heads ccnet danet --input 257x257
        segattn bench --parts network --precision fp32 bf16 -o bench.json
        segattn bench --checkpoint runs/mine streets/ccnet --forms all

    Every case runs in a process of its own, and the cases take turns: one pass each per round. Without options it measures the
    mechanisms of all heads on maps of 97x97, in fp32, at inference.
    """

    heads: tuple[str, ...] = ("all",)
    """Heads to measure: names of `segattn heads`, dotted module paths, study, baselines, or all."""
    checkpoint: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")] = ()
    """Measure trained networks instead, as large as their config.json says and with random weights: folders of runs or studies,
    or names of `segattn zoo`."""
    forms: tuple[Form, ...] = ("eager",)
    """Forms of whole networks at inference. eager: as built; optimized, channels-last, inductor, bf16: segattn.optimize and
    torch.compile; onnx, openvino, int8: exported; all: those that are possible here."""
    parts: tuple[Literal["mechanism", "head", "network"], ...] = ()
    """Parts of the network to measure; by default the mechanism, and with --checkpoint or --forms the network."""
    input: tuple[Size, ...] = ()
    """Image sizes in pixels; by default 769x769, and those of trained networks. Mechanisms and heads get feature maps of the size
    the backbone makes of it."""
    map: tuple[Size, ...] = ()
    """Sizes of the feature map, instead of --input: 97x97 at output stride 8 is an image of 769x769."""
    batch_size: tuple[int, ...] = (1,)
    """Images per pass."""
    passes: tuple[Literal["inference", "training"], ...] = ("inference",)
    """training: forward and backward pass with gradients of the inputs; for a network a whole step with SGD."""
    precision: tuple[Literal["fp32", "tf32", "bf16", "fp16"], ...] = ("fp32",)
    """bf16 and fp16 by autocast, weights in fp32."""
    implementations: tuple[Implementation, ...] = ("auto",)
    """reference: the equation as written; fast: the optimized form; auto: what a network uses."""
    compare: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME")] = None
    """Implementations to compare, separated by commas, such as reference,fast: the table then has ratios to the reference."""
    channels_last: Switch = "off"
    """Memory format of the inputs and weights."""
    compile: Switch = "off"
    """Compile with torch.compile."""
    feature_scale: tuple[float, ...] = (1.0,)
    """Factors on the random feature maps of mechanisms and heads, to see whether the time depends on the values."""
    sweep: Literal["size"] | None = None
    """size: measure over map sizes, fit the exponents of time and memory, and find where one mechanism overtakes another."""
    threads: int | None = None
    """Threads of each process; by default torch's choice."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    backbone: str = "resnet101"
    """Backbone of the network."""
    output_stride: int = 8
    """Input size divided by the size of the backbone's last feature map: 8, 16 or 32; of our ResNets also 4."""
    mode: Mode = "faithful"
    """faithful: each paper's own head; controlled: the same convolutions around every mechanism."""
    num_classes: int = 19
    """Number of classes."""
    in_channels: int = 3
    """Bands of the image: 3 for RGB."""
    allow_module: Modules = ()
    """With --checkpoint: import this module, or the modules of this package, where a run names one of yours as its head."""
    rounds: int = 10
    """Timed passes of each case."""
    warmup: int = 2
    """Passes of each case before the timed ones."""
    seconds_budget: float | None = 120.0
    """Time limit in seconds for all timed rounds, at least three of which are run; None: no limit."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Write the record to this file, for `segattn report`; it is updated after every group of cases."""
    format: Literal["table", "csv", "json", "markdown"] = "table"
    """Format of the output."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(BenchArguments, arguments, command="bench")
    _check(chosen)
    from segattn.benchmark import run as benchmark
    from segattn.device import resolve_device

    device = resolve_device(chosen.device).type
    cases = _cases(chosen, device)
    folder = tempfile.TemporaryDirectory() if any(case.form != "eager" for case in cases) else nullcontext("")
    settings = partial(
        benchmark.Settings,
        device=device,
        threads=chosen.threads,
        rounds=chosen.rounds,
        warmup=chosen.warmup,
        budget_seconds=chosen.seconds_budget,
    )

    def keep(record: records.BenchRecord) -> None:
        if chosen.out is not None:
            records.write(record, chosen.out)

    with folder as graphs, progress() as show:
        record = benchmark.run(
            cases,
            settings(folder=graphs),
            suite="bench" if chosen.sweep is None else f"sweep {chosen.sweep}",
            command=shlex.join(["segattn", "bench", *arguments]),
            on_progress=lambda position: show(position.share, position.what),
            on_group=keep,
            on_notice=show.notice,
        )
    keep(record)
    _show(record, chosen)


def _show(record: records.BenchRecord, chosen: BenchArguments) -> None:
    from segattn.report.bench import tables

    console = terminal.console()
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
            console.print(f"\n{chosen.out}", highlight=False, soft_wrap=True)
            next_step.show(console, *(("choose", "--bench") if chosen.checkpoint else ("report",)), chosen.out)
        else:
            console.print("\nNothing is recorded; for segattn report and choose, add -o bench.json", highlight=False)


def _check(chosen: BenchArguments) -> None:
    """Check what can be checked without torch.

    Raises:
        ValueError: options that contradict one another, or numbers out of range.
    """
    if chosen.input and chosen.map:
        raise ValueError("--input and --map are two ways to give the size; give one of them")
    if chosen.compare is not None and chosen.implementations != ("auto",):
        raise ValueError("--compare already names the implementations; leave --implementations out")
    least = {"rounds": 1, "warmup": 0, "num_classes": 1, "in_channels": 1}
    for name, value in least.items():
        if getattr(chosen, name) < value:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(chosen, name)} should be at least {value}")
    if chosen.threads is not None and chosen.threads < 1:
        raise ValueError(f"--threads {chosen.threads} should be at least 1")
    if any(size < 1 for size in chosen.batch_size):
        raise ValueError(f"--batch-size {min(chosen.batch_size)} should be at least 1")
    if any(not scale > 0 for scale in chosen.feature_scale):
        raise ValueError(f"--feature-scale {min(chosen.feature_scale):g} should be above 0")
    if chosen.out is not None and chosen.out.is_dir():
        raise ValueError(f"--out {chosen.out} is a folder; give a file such as {chosen.out / 'bench.json'}")
    _check_networks(chosen)
    _implementations(chosen)


def _check_networks(chosen: BenchArguments) -> None:
    """Raise ValueError for options that --checkpoint decides or other forms than eager do not have."""
    if chosen.checkpoint:
        trained.refuse(chosen, ("heads", "backbone", "output_stride", "mode", "num_classes", "in_channels", "sweep"))
    elif chosen.allow_module:
        raise ValueError("--allow-module is for --checkpoint; leave it out")
    if chosen.forms == ("eager",):
        return
    if not set(_parts(chosen)) <= {"network"} or chosen.passes != ("inference",):
        raise ValueError("--forms are of whole networks at inference; leave out --parts and --passes, or --forms")
    trained.refuse(chosen, ("precision", "channels_last", "compile", "sweep"), "--forms")
    if "all" in chosen.forms and len(chosen.forms) > 1:
        raise ValueError("--forms all already names every form; leave the others out")


def _parts(chosen: BenchArguments) -> tuple[str, ...]:
    whole = chosen.checkpoint or chosen.forms != ("eager",)
    return chosen.parts or ("network" if whole else "mechanism",)


def _forms(chosen: BenchArguments, device: str) -> tuple[str, ...]:
    """The forms to measure.

    Raises:
        ValueError: one of them, by its name, is not possible here.
    """
    if chosen.forms == ("eager",):
        return chosen.forms
    from segattn.inference import forms

    reasons = {form: forms.missing(form, device) for form in (forms.FORMS if "all" in chosen.forms else chosen.forms)}
    if "all" not in chosen.forms and (said := next(filter(None, reasons.values()), "")):
        raise ValueError(said)
    for reason in filter(None, reasons.values()):
        terminal.console(stderr=True).print(f"left out: {reason}", highlight=False, soft_wrap=True)
    return tuple(form for form, reason in reasons.items() if not reason)


def _implementations(chosen: BenchArguments) -> tuple[str, ...]:
    if chosen.compare is None:
        if chosen.sweep is not None and chosen.implementations == ("auto",):
            return ("reference",)  # only the reference form has attention maps, whose size a sweep varies
        return chosen.implementations
    names = tuple(name.strip() for name in chosen.compare.split(","))
    allowed = ("auto", "reference", "fast")
    if len(set(names)) < 2 or not set(names) <= set(allowed) or "reference" not in names:
        raise ValueError(
            f"--compare {chosen.compare} should be reference and one or more of auto and fast, such as reference,fast"
        )
    return names


def _cases(chosen: BenchArguments, device: str = "cpu") -> list[Case]:
    from segattn.benchmark.cases import combinations, has_forms, image_size

    forms, names = _implementations(chosen), () if chosen.checkpoint else head_names(chosen.heads)
    for name in chosen.heads if len(forms) > 1 else ():
        if name not in ("all", "study", "baselines") and not has_forms(name, chosen.mode):
            option = "--implementations" if chosen.compare is None else "--compare"
            raise ValueError(
                f"{option} {(',' if chosen.compare else ' ').join(forms)}: {name} has no switch `implementation`, so all of them "
                f"are the same code; leave {name} or {option} out"
            )
    sweep = tuple((side, side) for side in SWEEP_MAPS) if chosen.sweep and not chosen.input else ()
    maps = chosen.map or sweep
    common = partial(
        combinations,
        parts=_parts(chosen),
        batches=chosen.batch_size,
        phases=chosen.passes,
        dtypes=chosen.precision,
        implementations=forms,
        channels_last=_both(chosen.channels_last),
        compiled=_both(chosen.compile),
        feature_scales=chosen.feature_scale,
        forms=_forms(chosen, device),
    )
    if chosen.checkpoint:
        cases = []
        for network in trained.read(chosen.checkpoint, chosen.allow_module):
            stride = network.model.output_stride
            sizes = [image_size(map_size, stride) for map_size in maps] or chosen.input or [network.size]
            cases += common(names=(network.model.head,), sizes=sizes, network=network.name, **network.described())
        return cases
    return common(
        names=names,
        sizes=[image_size(map_size, chosen.output_stride) for map_size in maps] or chosen.input or [(769, 769)],
        backbone=chosen.backbone,
        output_stride=chosen.output_stride,
        mode=chosen.mode,
        num_classes=chosen.num_classes,
        in_channels=chosen.in_channels,
    )


def _both(switch: Switch) -> tuple[bool, ...]:
    return {"off": (False,), "on": (True,), "both": (False, True)}[switch]
