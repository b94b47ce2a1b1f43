"""`segattn flops`: the cost of networks for one image, counted on the `meta` device."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from segattn.cli import terminal
from segattn.cli.arguments import head_names, parse
from segattn.cli.flops.arguments import FlopsArguments
from segattn.cli.values import size
from segattn.profile.markdown import markdown_table
from segattn.records import Cost, PartCost

_PARTS = ("mechanism", "head_total", "network")
_TITLES = {"mechanism": "mechanism", "head_total": "head", "network": "network"}
_NOTES = {
    "macs": "macs: multiply-adds of convolutions and products; bias not counted",
    "flops": "flops: 2 per multiply-add; bias not counted",
    "study": "study: 2HW(C_in K^2 + 1)C_out for a convolution, with the bias term always, 2mkn for a product",
}
_OTHER = "other: element operations of norm, softmax, resize, pooling, activation; in none of the columns left of it"


def run(arguments: Sequence[str]) -> None:
    chosen = parse(FlopsArguments, arguments, command="flops")
    if chosen.module is not None:
        _user_module(chosen, chosen.module)
        return
    if chosen.device != "meta":
        raise ValueError("--device is for --module; heads are always counted on meta")
    if chosen.checkpoint:
        from segattn.cli.flops import checkpoints

        _render(checkpoints.costs(chosen), chosen)
        return
    if chosen.allow_module:
        raise ValueError("--allow-module is for --checkpoint; leave it out")
    sizes = [size(text) for text in chosen.input or (("257x257",) if chosen.cross_check else ("769x769", "520x520"))]
    names = head_names(chosen.heads)
    if chosen.operators:
        if chosen.cross_check:
            raise ValueError("--operators and --cross-check are two tables: give one of them")
        _operators(chosen, names, sizes)
        return
    if chosen.cross_check:
        _cross_check(chosen, names, sizes)
        return
    from segattn.cost import network_cost

    costs = [
        network_cost(
            name,
            input_size=input_size,
            num_classes=_classes(chosen, input_size),
            backbone=chosen.backbone,
            output_stride=chosen.output_stride,
            in_channels=chosen.in_channels,
            mode=chosen.mode,
        )
        for input_size in sizes
        for name in names
    ]
    _render(costs, chosen)


def _render(costs: Sequence[Cost], chosen: FlopsArguments) -> None:
    render = {"table": _table, "csv": _csv, "json": _json, "markdown": _markdown}[chosen.format]
    render(costs, chosen.convention)


def _user_module(chosen: FlopsArguments, path: str) -> None:
    from segattn.cli.flops import cross_check, module
    from segattn.profile.render import render

    default = FlopsArguments()
    settings = ("heads", "backbone", "output_stride", "num_classes", "in_channels", "mode", "operators", "checkpoint")
    for name in settings:
        if getattr(chosen, name) != getattr(default, name):
            raise ValueError(f"--{name.replace('_', '-')} is for the heads of segattn; leave it out with --module")
    cases = []
    for text in chosen.input or ("769x769",):
        shape = module.shape(text)
        net = module.build(path, chosen.device)
        cases.append((f"{path}, input {'x'.join(map(str, shape))}", net, shape))
    if chosen.cross_check:
        checks = [cross_check.check("", title, *module.on_meta(net, shape)) for title, net, shape in cases]
        cross_check.show(checks, chosen.format)
        return
    for title, net, shape in cases:
        if chosen.format in ("table", "markdown"):
            print(f"{title}\n")
        ledger = module.count(net, shape, path, chosen.device)
        print(render(ledger, chosen.format, depth=chosen.depth, convention=chosen.convention, width=_width()))


def _cross_check(chosen: FlopsArguments, names: Sequence[str], sizes: Sequence[tuple[int, int]]) -> None:
    import torch

    from segattn.cli.flops import cross_check
    from segattn.cost import parts
    from segattn.model import create_model

    checks = []
    for name in names:
        for height, width in sizes:
            with torch.device("meta"):
                model = create_model(
                    name,
                    num_classes=_classes(chosen, (height, width)),
                    backbone=chosen.backbone,
                    output_stride=chosen.output_stride,
                    in_channels=chosen.in_channels,
                    mode=chosen.mode,
                    auxiliary_weight=0,
                )
            for part, (module, inputs) in parts(model, (height, width)).items():
                checks.append(cross_check.check(name, f"{part}, {height}x{width}", module, *inputs))
    cross_check.show(checks, chosen.format)


def _classes(chosen: FlopsArguments, input_size: tuple[int, int]) -> int:
    if chosen.num_classes is not None:
        return chosen.num_classes
    return 150 if input_size == (520, 520) else 19


def _operators(chosen: FlopsArguments, names: Sequence[str], sizes: Sequence[tuple[int, int]]) -> None:
    if len(names) != 1 or len(sizes) != 1:
        raise ValueError(
            "--operators shows one network: give one head and one size, such as --heads ccnet --input 769x769"
        )
    import torch

    from segattn.cost import ledger
    from segattn.model import create_model
    from segattn.profile.render import render

    with torch.device("meta"):
        model = create_model(
            names[0],
            num_classes=_classes(chosen, sizes[0]),
            backbone=chosen.backbone,
            output_stride=chosen.output_stride,
            in_channels=chosen.in_channels,
            mode=chosen.mode,
            auxiliary_weight=0,
        )
    print(
        render(ledger(model, sizes[0]), chosen.format, depth=chosen.depth, convention=chosen.convention, width=_width())
    )


def _width() -> int:
    """Characters of a line: the terminal's, or COLUMNS, and 180 in a pipe."""
    console = terminal.console()
    return 180 if console.soft_wrap else console.width


def _conventions(convention: str) -> list[str]:
    return list(_NOTES) if convention == "all" else [convention]


def _headings(convention: str) -> list[str]:
    unit = {"macs": "GMACs", "flops": "GFLOPs", "study": "GFLOPs (study)"}
    headings = ["head"]
    for shown in _conventions(convention):
        headings += [f"{unit[shown]} {_TITLES[part]}" for part in _PARTS]
    return [*headings, "other G", *(f"Mparams {_TITLES[part]}" for part in _PARTS)]


def _cells(cost: Cost, convention: str) -> list[str]:
    cells = [cost.head]
    for shown in _conventions(convention):
        cells += [f"{getattr(_part(cost, part), shown) / 1e9:.3f}" for part in _PARTS]
    return [
        *cells,
        f"{cost.network.other / 1e9:.2f}",
        *(f"{_part(cost, part).parameters / 1e6:.2f}" for part in _PARTS),
    ]


def _part(cost: Cost, part: str) -> PartCost:
    return getattr(cost, part)


def _by_size(costs: Sequence[Cost]) -> dict[str, list[Cost]]:
    groups: dict[str, list[Cost]] = {}
    for cost in costs:
        title = (
            f"{cost.input_size[0]}x{cost.input_size[1]} pixels, {cost.backbone} at output stride {cost.output_stride}, "
            f"{cost.num_classes} classes, {cost.mode} heads, batch 1"
        )
        groups.setdefault(title, []).append(cost)
    return groups


def _table(costs: Sequence[Cost], convention: str) -> None:
    console = terminal.console()
    for title, group in _by_size(costs).items():
        console.print(title, style="italic", highlight=False)
        tables = [_sheet(group, convention)]
        if terminal.console(width=1000).measure(tables[0]).maximum > console.width:  # a table each
            tables = [_sheet(group, each) for each in _conventions(convention)]
        for table in tables:
            console.print(table)
            console.print()
    for shown in _conventions(convention):
        console.print(_NOTES[shown], style="dim", highlight=False)
    console.print(_OTHER, style="dim", highlight=False)


def _sheet(costs: Sequence[Cost], convention: str) -> Table:
    """The costs at one input size."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 0, 0, 2))
    for number, heading in enumerate(_headings(convention)):
        table.add_column(
            heading.replace(" ", "\n"), justify="left" if number == 0 else "right", no_wrap=number > 0, overflow="fold"
        )
    for cost in costs:
        table.add_row(*_cells(cost, convention))
    return table


def _markdown(costs: Sequence[Cost], convention: str) -> None:
    headings = _headings(convention)
    for title, group in _by_size(costs).items():
        table = markdown_table(headings, [_cells(cost, convention) for cost in group])
        print(f"**{title}**\n\n{table}\n")
    for shown in _conventions(convention):
        print(f"* {_NOTES[shown]}")
    print(f"* {_OTHER}")


def _csv(costs: Sequence[Cost], convention: str) -> None:
    figures = list(PartCost.__dataclass_fields__)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    plain = ["head", "mode", "backbone", "output_stride", "num_classes"]
    writer.writerow(
        [*plain, "height", "width", *(f"{_TITLES[part]}_{figure}" for part in _PARTS for figure in figures)]
    )
    for cost in costs:
        values = [getattr(_part(cost, part), figure) for part in _PARTS for figure in figures]
        writer.writerow([*(getattr(cost, name) for name in plain), *cost.input_size, *values])
    print(out.getvalue(), end="")


def _json(costs: Sequence[Cost], convention: str) -> None:
    print(json.dumps([asdict(cost) for cost in costs], indent=1))
