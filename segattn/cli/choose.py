"""`segattn choose`: the trained network to take within a budget of time, memory, operations or parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro
from rich.table import Table
from rich.text import Text

from segattn import records, zoo
from segattn.benchmark import choice
from segattn.benchmark.choice import Candidate
from segattn.cli import terminal, trained
from segattn.cli.arguments import parse
from segattn.cli.plan import quantities
from segattn.cli.trained import Trained
from segattn.cli.values import Modules, Size
from segattn.records.bench import Result

SHOWN = {"time": ("ms", 1e-3), "memory": ("MB", 1e6), "flops": ("GFLOPs", 1e9), "macs": ("GMACs", 1e9),
         "parameters": ("Mparams", 1e6)}  # fmt: skip
"""Units of the quantities, and their size."""

Value = TypeVar("Value", Size, int)


@dataclass(frozen=True)
class ChooseArguments:
    """Choose among trained networks: the best recorded accuracy within a budget, and the Pareto front.

        segattn choose streets --budget 14GFLOPs
        segattn choose --bench bench.json --budget 50ms 300MB

    Operations and parameters are counted. Time and memory come from records of segattn bench --checkpoint, which say on which
    machine they were measured. docs/choose.md leads from nothing to a decision.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Folders of runs or studies, or names of `segattn zoo`; by default the networks in the records of --bench."""
    bench: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE.json ...")] = ()
    """Records of segattn bench --checkpoint RUN ... -o FILE.json, all of one machine."""
    budget: Annotated[tuple[str, ...], tyro.conf.arg(metavar="AMOUNT ...")] = ()
    """Limits, all of which hold: 50ms a pass, 300MB at inference, 10GFLOPs, 5GMACs, 3Mparameters."""
    input: Size | None = None
    """Size of the images in pixels; by default that of the records, or of each network."""
    batch_size: int | None = None
    """Images per pass, where the records have several."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where a run names one of yours as its head."""
    format: Literal["table", "json"] = "table"
    """Format of the output."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(ChooseArguments, arguments, command="choose")
    limits = _limits(chosen)
    measured = Measured.of(chosen)
    names = list(dict.fromkeys(result.case.network for result in measured.results))
    networks = trained.read(chosen.runs or [Path(name) for name in names], chosen.allow_module)
    accuracies, data = _accuracies(networks)
    candidates = [
        one for network in networks for one in _candidates(network, measured, accuracies[network.name], chosen.input)
    ]
    axes = list(limits) or ["time" if measured.results else "flops"]
    ordered = choice.ranked(candidates, limits, axes[0])
    on_front = choice.front(candidates, axes)
    best = next((one for one in ordered if one.mean_iou is not None and one.fits(limits)), None)
    if chosen.format == "json":
        entries = [{**vars(one), "within": one.fits(limits), "front": one in on_front} for one in ordered]
        chosen_one = None if best is None else {"network": best.network, "form": best.form}
        print(json.dumps({"accuracy": data, "machine": measured.machine, "chosen": chosen_one, "networks": entries}))
    else:
        _show(ordered, on_front, limits, axes, f"{data}; {measured.where}")
    if best is None:
        raise ValueError(_nothing(ordered, limits))
    if chosen.format == "table":
        figures = [f"{100 * (best.mean_iou or 0):.2f} % mIoU", *(_amount(one, best.cost(one)) for one in axes)]
        terminal.console().print(f"\nChosen: {_named(best)}, {', '.join(figures)}", highlight=False, soft_wrap=True)


def _limits(chosen: ChooseArguments) -> dict[str, float]:
    """The budget by quantity.

    Raises:
        ValueError: an amount of another form, two of one quantity, or one that needs a record.
    """
    limits: dict[str, float] = {}
    for text in chosen.budget:
        what, limit = quantities.budget(text)
        if what in limits:
            raise ValueError(f"--budget {' '.join(chosen.budget)} limits {what} twice; give one of them")
        if what in ("time", "memory") and not chosen.bench:
            raise ValueError(
                f"--budget {text} needs measured networks: segattn bench --checkpoint RUN ... -o bench.json, then "
                "--bench bench.json"
            )
        limits[what] = limit
    if not chosen.runs and not chosen.bench:
        raise ValueError("give networks to choose from: folders of runs, names of segattn zoo, or --bench FILE.json")
    return limits


@dataclass(frozen=True)
class Measured:
    """What the records say, at one size and batch."""

    results: Sequence[Result] = ()
    machine: str | None = None
    where: str = "nothing measured"

    @staticmethod
    def of(chosen: ChooseArguments) -> Measured:
        """What the records of --bench say.

        Raises:
            ValueError: no bench record, records of several machines, or not exactly one size and batch.
        """
        if not chosen.bench:
            return Measured()
        from segattn.report.bench.groups import read

        bench = [read(path) for path in chosen.bench]
        machines = list(dict.fromkeys(_machine(record.environment) for record in bench))
        if len(machines) > 1:
            raise ValueError(f"the records are of {len(machines)} machines: {'; '.join(machines)}; give those of one")
        results = [result for record in bench for result in record.results if _counts(result)]
        files = " ".join(map(str, chosen.bench))
        if not results:
            raise ValueError(
                f"{files}: no trained network measured at inference; segattn bench --checkpoint RUN ... -o FILE.json does"
            )
        size = _only("input_size", chosen.input, results, files)
        batch = _only("batch", chosen.batch_size, results, files)
        of_one = [each for each in results if each.case.input_size == size and each.case.batch == batch]
        pixels = "x".join(map(str, size))
        where = f"{pixels} pixels, batch {batch}, measured on {machines[0]}{_elsewhere(bench[0].environment)}"
        return Measured(of_one, machines[0], where)


def _counts(result: Result) -> bool:
    case = result.case
    whole = case.part == "network" and case.phase == "inference" and case.implementation == "auto"
    return whole and bool(case.network) and result.latency is not None


def _only(name: str, wanted: Value | None, results: Sequence[Result], files: str) -> Value:
    """The one value of a case's field, or the one that is wanted."""
    values = list(dict.fromkeys(getattr(result.case, name) for result in results))
    option = {"input_size": "--input", "batch": "--batch-size"}[name]
    words = ["x".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values]
    if wanted is None and len(values) > 1:
        raise ValueError(f"{files}: networks measured at {', '.join(words)}; give one of these as {option}")
    if wanted is not None and wanted not in values:
        raise ValueError(f"{files}: no network measured at that {option}; there are: {', '.join(words)}")
    only: Value = values[0] if wanted is None else wanted
    return only


def _machine(environment: records.Environment) -> str:
    device = environment.processor if environment.device == "cpu" else environment.device
    return f"{device}, {environment.threads} thread{'s' * (environment.threads != 1)}"


def _elsewhere(environment: records.Environment) -> str:
    """What to say of a record of another machine than this one; empty of this one's."""
    import torch

    from segattn.profile.environment import device_name, processor_name

    own = processor_name()
    if environment.device != "cpu":
        own = device_name("cuda") if torch.cuda.is_available() else f"{own}, without a GPU"
    recorded = environment.processor if environment.device == "cpu" else environment.device
    return "" if own == recorded else f", NOT this machine ({own}): times here differ, measure again"


def _accuracies(networks: Sequence[Trained]) -> tuple[dict[str, float | None], str]:
    """The recorded mIoU of each network, and on which data.

    Raises:
        ValueError: they were scored on different data.
    """
    accuracies: dict[str, float | None] = {}
    scored: dict[str, str] = {}
    for network in networks:
        source = zoo.source(network.name)
        accuracies[network.name] = None
        if isinstance(source, zoo.Entry):
            accuracies[network.name] = source.mean_iou
            scored.setdefault(f"{source.scenes['name']} val, {source.num_images} images", network.name)
        elif (source / "record.json").is_file():
            record = records.read(source / "record.json")
            if isinstance(record, records.RunRecord):
                accuracies[network.name] = record.scores.mean_iou
                scored.setdefault(f"{record.dataset} {record.split}, {record.scores.images}", network.name)
    if len(scored) > 1:
        words = "; ".join(f"{data} ({name})" for data, name in scored.items())
        raise ValueError(f"the networks were scored on different data: {words}; give those of one data set")
    return accuracies, f"mIoU on {next(iter(scored))}" if scored else "no recorded accuracy"


def _candidates(
    network: Trained, measured: Measured, mean_iou: float | None, input_size: Size | None
) -> list[Candidate]:
    """The network in each form that was measured; without a measurement once, with what can be counted."""
    from segattn.cost import network_cost
    from segattn.report.bench.groups import form_of, unusual

    results = [result for result in measured.results if result.case.network == network.name]
    size = input_size or (measured.results[0].case.input_size if measured.results else network.size)
    cost = network_cost(network.model.head, input_size=size, **network.described()).network
    counted = {"flops": cost.flops, "macs": cost.macs, "parameters": cost.parameters}
    if not results:
        return [Candidate(network.name, "", counted, mean_iou)]
    by_form: dict[str, Candidate] = {}
    for result in results:
        case, costs = result.case, dict[str, float](counted)
        assert result.latency is not None
        costs["time"] = result.latency.median_ms / 1e3
        if result.memory is not None:
            costs["memory"] = result.memory.total_bytes
        exact = case.dtype in ("fp32", "tf32") and case.form not in ("bf16", "int8")
        words = [case.form if form_of(case) == "auto" else form_of(case), *unusual(case)]
        form = " ".join([*words, *[case.dtype] * (case.dtype != "fp32")])
        by_form[form] = Candidate(network.name, form, costs, mean_iou if exact else None)
    return list(by_form.values())


def _nothing(ordered: Sequence[Candidate], limits: Mapping[str, float]) -> str:
    budget = " and ".join(_amount(name, limit) for name, limit in limits.items()) or "any budget"
    scored = [one for one in ordered if one.mean_iou is not None]
    if not scored:
        return "no network has a recorded accuracy (record.json); segattn evaluate RUN scores one"
    name, limit = next(iter(limits.items()))
    least = min(scored, key=lambda one: max(one.cost(each) / most for each, most in limits.items()))
    if least.cost(name) == float("inf"):
        return f"none of the networks was measured: segattn bench --checkpoint {least.network} -o FILE.json"
    needs = ", ".join(_amount(each, least.cost(each)) for each in limits)
    return f"no network with a recorded accuracy is within {budget}; the nearest is {_named(least)}: {needs}"


def _named(one: Candidate) -> str:
    return f"{one.network} ({one.form})" if one.form else one.network


def _amount(quantity: str, value: float) -> str:
    unit, scale = SHOWN[quantity]
    return f"{value / scale:,.4g} {unit}"


def _show(
    ordered: Sequence[Candidate],
    on_front: Sequence[Candidate],
    limits: Mapping[str, float],
    axes: Sequence[str],
    title: str,
) -> None:
    console = terminal.console()
    console.print(Text(title, style="italic"))
    have = [name for name in choice.QUANTITIES if name != "macs" or name in axes]
    have = [name for name in have if any(name in one.costs for one in ordered)]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    forms = any(one.form for one in ordered)
    for heading in ("network", *["form"] * forms):
        table.add_column(heading, overflow="fold", vertical="top")
    for heading in ("mIoU %", *(SHOWN[name][0] for name in have)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("front", justify="center", no_wrap=True)
    for one in ordered:
        figures = [f"{one.cost(name) / SHOWN[name][1]:,.4g}" if name in one.costs else "-" for name in have]
        accuracy = "-" if one.mean_iou is None else f"{100 * one.mean_iou:.2f}"
        cells = [one.network, *[one.form] * forms, accuracy, *figures, "*" if one in on_front else ""]
        table.add_row(*map(Text, cells), style=None if one.fits(limits) else "dim")
        if limits and one.fits(limits) and one is ordered[-1 + sum(each.fits(limits) for each in ordered)]:
            table.add_section()
            table.add_row(Text(f"above {' and '.join(_amount(name, limits[name]) for name in limits)}:", style="dim"))
    console.print(table)
    names = " and ".join(SHOWN[name][0] for name in axes)
    console.print(f"\n*: on the Pareto front of mIoU and {names}.", style="dim", highlight=False)
    if any(one.mean_iou is None and one.form for one in ordered):
        note = "-: not scored in this form; segattn export RUN -o net.onnx --precision int8 prints what int8 loses."
        console.print(note, style="dim", highlight=False)
