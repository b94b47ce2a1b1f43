"""The list of `segattn plan --budget`: the networks within it, best recorded accuracy first."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.table import Table

from segattn.benchmark import budget, peak
from segattn.benchmark.budget import Network, NothingFits
from segattn.cli import terminal
from segattn.cli.plan.arguments import PlanArguments
from segattn.cli.plan.memory import case_of, reserve_of
from segattn.cli.plan.time import image_time, nothing_measured, source
from segattn.records import published

_UNITS = {"flops": ("GFLOPs", 1e9), "study": ("GFLOPs (study)", 1e9), "macs": ("GMACs", 1e9)}
_UNITS |= {"parameters": ("Mparams", 1e6), "memory": ("GB", 1e9), "time": ("ms", 1e-3)}


def show(chosen: PlanArguments, names: Sequence[str], what: str, limit: float) -> None:
    """Cost every network, look up its records and print those within the limit."""
    runs = budget.run_records(*chosen.runs)
    dataset = _dataset(chosen, sorted({run.dataset.lower() for run in runs.values()}))
    recorded = budget.recorded_here(runs.values(), dataset, chosen.mode, runs)
    counted = chosen.convention if what == "flops" else what
    unit, scale = _UNITS[counted]
    console = terminal.console(stderr=True)
    with terminal.status(console) as say:
        try:
            networks = budget.within(
                limit,
                _cost(chosen, counted),
                names,
                recorded=recorded,
                others=budget.published_by_others(dataset),
                on_progress=lambda done, total: say(f"{done} of {total} networks counted"),
            )
        except NothingFits as error:
            least = error.least
            if math.isinf(least.cost):
                raise ValueError(nothing_measured(chosen)) from None
            raise ValueError(
                f"no network is within {limit / scale:g} {unit} {_where(chosen, what)}; the nearest is {least.head} with "
                f"{least.backbone} at output stride {least.output_stride}: {least.cost / scale:.4g} {unit}"
            ) from None
    title = f"Within {limit / scale:g} {unit} {_where(chosen, what)}; accuracy on {dataset}"
    if chosen.format == "json":
        print(json.dumps({"what": title, "networks": [_entry(network, counted) for network in networks]}, indent=1))
        return
    _table(title, networks, unit, scale, searched=bool(chosen.runs))


def _dataset(chosen: PlanArguments, of_runs: Sequence[str]) -> str:
    """The data set that ranks.

    Raises:
        ValueError: several to choose from, or none of that name.
    """
    if chosen.dataset is not None:
        known = sorted({*of_runs, *published.datasets()})
        if chosen.dataset.lower() not in known:
            raise ValueError(f"no accuracy on {chosen.dataset!r} is recorded; there are: {', '.join(known)}")
        return chosen.dataset.lower()
    if len(of_runs) > 1:
        folders = ", ".join(map(str, chosen.runs))
        raise ValueError(f"{folders}: runs on {', '.join(of_runs)}; give one of these as --dataset")
    return of_runs[0] if of_runs else "cityscapes"


def _cost(chosen: PlanArguments, counted: str) -> Callable[[str, str, int], float]:
    if counted == "time":
        return image_time(chosen)
    if counted != "memory":
        return budget.counted(counted, chosen.input, chosen.num_classes, chosen.mode, chosen.in_channels)

    def needed(head: str, backbone: str, output_stride: int) -> float:
        case = case_of(replace(chosen, backbone=backbone, output_stride=output_stride), head)
        return peak.predict(case, reserve=reserve_of(chosen)).total

    return needed


def _where(chosen: PlanArguments, what: str) -> str:
    if what == "parameters":
        return f"({chosen.mode} heads, {chosen.num_classes} classes)"
    if what == "memory":
        step = "inference" if chosen.inference else "training"
        return f"in {step} at {_pixels(chosen)}, batch {chosen.batch_size}, {chosen.precision}, on {chosen.device}"
    return f"for one image of {_pixels(chosen)}" + (f", {source(chosen)}" if what == "time" else "")


def _pixels(chosen: PlanArguments) -> str:
    return "x".join(map(str, chosen.input))


def _table(title: str, networks: Sequence[Network], unit: str, scale: float, *, searched: bool) -> None:
    console = terminal.console()
    console.print(title, style="italic", highlight=False)
    sections = {
        "Recorded here": [network for network in networks if network.recorded],
        "Published by others, not measured here": [n for n in networks if n.published and not n.recorded],
        "Without any record of accuracy, least cost first": [n for n in networks if not n.recorded and not n.published],
    }
    for section, rows in sections.items():
        console.print(f"\n{section}", style="bold", highlight=False)
        if rows:
            console.print(_rows(rows, unit, scale))
        else:
            hint = (
                "; give a folder of runs: segattn plan RUN ..." if section == "Recorded here" and not searched else ""
            )
            console.print(f"  none within the budget{hint}", style="dim", highlight=False)
    console.print()
    console.print(
        "Published rows: the best of each network at one scale. Their training differs from ours and from row to row: a "
        "reference, not a ranking.",
        style="dim",
        highlight=False,
    )


def _rows(networks: Sequence[Network], unit: str, scale: float) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 0, 0, 2))
    for heading, width in (("head", 12), ("backbone", 9), ("stride", 6), (unit, 8), ("mIoU %", 6), ("where from", 0)):
        right = heading in ("stride", unit, "mIoU %")
        folds = heading in ("head", "where from")
        table.add_column(
            heading, justify="right" if right else "left", min_width=width, no_wrap=not folds, overflow="fold"
        )
    for network in networks:
        plain = (network.head, network.backbone, str(network.output_stride), f"{network.cost / scale:,.4g}")
        table.add_row(*plain, *_accuracy(network))
    return table


def _accuracy(network: Network) -> tuple[str, str]:
    if network.recorded is not None:
        own = network.recorded
        height, width = own.crop_size
        seeds = f"{own.seeds} seed{'s' if own.seeds > 1 else ''}"
        only = f"; of several settings of that name those with {own.differs}" if own.differs else ""
        also = f"; published {100 * network.published.mean_iou:.2f}" if network.published else ""
        return (
            f"{100 * own.mean_iou:.2f}",
            f"{own.experiment}: {seeds}, {own.iterations:,} iterations, {height}x{width}{only}{also}",
        )
    if network.published is not None:
        other = network.published
        return (
            f"{100 * other.mean_iou:.2f}",
            f"{other.source}: {other.iterations:,} iterations, {other.crop}",
        )
    return "-", ""


def _entry(network: Network, counted: str) -> dict[str, object]:
    entry: dict[str, object] = {
        "head": network.head,
        "backbone": network.backbone,
        "output_stride": network.output_stride,
        counted: network.cost,
        "recorded_here": None if network.recorded is None else vars(network.recorded),
        "published": None,
    }
    if network.published is not None:
        entry["published"] = {**vars(network.published), "address": network.published.address}
    return entry
