"""The table of `segattn plan`: predicted memory, what fits, hours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from segattn import config
from segattn.benchmark import peak
from segattn.benchmark.peak import Case, Prediction
from segattn.cli import terminal
from segattn.cli.plan import quantities, time
from segattn.cli.plan.arguments import PlanArguments

PARTS = ("weights", "gradients", "optimizer", "activations", "temporary")
_HEADINGS = (*PARTS, "libraries", "total")


@dataclass
class Line:
    """The prediction for one head, or the problem that prevents one."""

    head: str
    prediction: Prediction | None = None
    largest_batch: int | None = None
    largest_crop: int | None = None
    nearest: str = ""
    """If nothing fits: the settings that come nearest."""
    step_seconds: float | None = None
    no_hours: str = ""
    problem: str = ""


def show(chosen: PlanArguments, names: Sequence[str], limit: int | None) -> None:
    """Predict every head and print."""
    step_time = time.step_time(chosen)
    console = terminal.console(stderr=True)
    lines = []
    with terminal.status(console) as say:
        for name in names:
            say(f"{name}: the step on fake tensors")
            lines.append(_line(chosen, name, limit, step_time))
    if all(line.prediction is None for line in lines):
        raise ValueError(lines[0].problem)
    (_json if chosen.format == "json" else _table)(chosen, lines, limit)


def case_of(chosen: PlanArguments, head: str) -> Case:
    """The options as a case."""
    return Case(
        model=config.Model(
            head=head,
            mode=chosen.mode,
            backbone=chosen.backbone,
            output_stride=chosen.output_stride,
            in_channels=chosen.in_channels,
        ),
        optimization=config.Optimization(
            batch_size=chosen.batch_size,
            accumulation=chosen.accumulation,
            activation_checkpointing=chosen.activation_checkpointing,
            channels_last=chosen.channels_last,
            ohem=chosen.ohem,
            optimizer=chosen.optimizer,
            precision=chosen.precision,
        ),
        crop_size=chosen.input,
        num_classes=chosen.num_classes,
        device=chosen.device,
        training=not chosen.inference,
    )


def reserve_of(chosen: PlanArguments) -> int | None:
    """The reserve in bytes; None for the default of the device."""
    if chosen.reserve is None:
        return None
    return 0 if chosen.reserve.strip() == "0" else quantities.memory_bytes(chosen.reserve)


def _line(chosen: PlanArguments, head: str, limit: int | None, step_time: Callable[[Case], float] | None) -> Line:
    case, reserve = case_of(chosen, head), reserve_of(chosen)
    line = Line(head)
    try:
        line.prediction = peak.predict(case, reserve=reserve)
    except ValueError as error:
        line.problem = str(error)
        return line
    if limit is not None:
        line.largest_batch = peak.largest_batch(case, limit, reserve=reserve, known=line.prediction)
        line.largest_crop = peak.largest_crop(case, limit, reserve=reserve, known=line.prediction)
        if line.largest_batch is None and line.largest_crop is None:
            line.nearest = _nearest(case, limit, reserve)
    if step_time is not None:
        try:
            line.step_seconds = step_time(case)
        except ValueError as error:
            line.no_hours = str(error)
    return line


def _nearest(case: Case, limit: int, reserve: int | None) -> str:
    """The memory of the smallest batch, and the crop at which it would fit."""
    parts = case.optimization.accumulation
    sentences, smallest = [], peak.with_batch(case, parts)
    recomputed = replace(smallest, optimization=replace(smallest.optimization, activation_checkpointing=True))
    for form, changed in (("", smallest), (" with --activation-checkpointing", recomputed)):
        if form and not (case.training and case.optimization.activation_checkpointing is False):
            continue
        try:
            needed = peak.predict(changed, reserve=reserve)
            crop = peak.largest_crop(changed, limit, reserve=reserve, known=needed)
        except ValueError as error:
            sentences.append(f"batch {parts}{form}: {error}")
            continue
        at = f"fits up to crop {crop}" if crop else "does not fit at any crop either"
        sentences.append(f"batch {parts}{form} needs {needed.total / 1e9:.2f} GB and {at}")
    return "; ".join(sentences)


# Output -------------------------------------------------------------------------------------------------------------------
def parts_of(prediction: Prediction) -> dict[str, int]:
    """Bytes of each column; the batch itself is among the activations."""
    columns = dict.fromkeys(PARTS, 0)
    for kind, size_bytes in prediction.peak.parts.items():
        columns["activations" if kind == "input" else kind] += size_bytes
    return {**columns, "reserve": prediction.reserve}


def _title(chosen: PlanArguments, limit: int | None) -> list[str]:
    """What is predicted, and the limit if there is one."""
    height, width = chosen.input
    named = {"sgd": "SGD with momentum", "adamw": "AdamW"}[chosen.optimizer]
    what = "inference pass" if chosen.inference else f"training step ({named})"
    options = [chosen.precision, "channels-last" if chosen.channels_last else "contiguous"]
    options += ["activation checkpointing"] if chosen.activation_checkpointing else []
    options += [f"in {chosen.accumulation} parts"] if chosen.accumulation > 1 else []
    options += ["OHEM"] if chosen.ohem else []
    title = (
        f"Predicted peak memory in GB (10^9 bytes) of one {what} on {chosen.device}: {chosen.backbone} at output stride "
        f"{chosen.output_stride}, {chosen.mode} heads, {chosen.num_classes} classes, input {height}x{width}, batch "
        f"{chosen.batch_size}, {', '.join(options)}"
    )
    if limit is None:
        return [title]
    return [title, f"to fit into {chosen.gpu_memory} = {limit / 1e9:.2f} GB = {limit / 2**30:.2f} GiB"]


def _table(chosen: PlanArguments, lines: Sequence[Line], limit: int | None) -> None:
    console = terminal.console()
    console.print("\n".join(_title(chosen, limit)), style="italic", highlight=False)
    headings = ["head", *_HEADINGS]
    headings += [] if limit is None else ["fits", "largest\nbatch", "largest\ncrop"]
    headings += [f"hours for\n{chosen.iterations:,}"] if time.is_asked_for(chosen) else []
    rows, notes = [], []
    for line in lines:
        if line.prediction is None:
            rows.append([line.head, *["-"] * (len(headings) - 1)])
            notes.append(f"{line.head}: refused ({line.problem})")
            continue
        rows.append([line.head, *_cells(chosen, line, limit)])
        notes += [f"{line.head}: nothing fits; {line.nearest}"] if line.nearest else []
        notes += [f"{line.head}: no hours ({line.no_hours})"] if line.no_hours else []
    tables = [_sheet(headings, rows)]
    if (
        terminal.console(width=1000).measure(tables[0]).maximum > console.width
    ):  # the memory, and then what follows from it
        total = headings.index("total")
        tables = [
            _sheet([headings[column] for column in columns], [[row[column] for column in columns] for row in rows])
            for columns in (range(total + 1), [0, *range(total, len(headings))])
        ]
    for table in tables:
        console.print(table)
    if not chosen.inference and not time.is_asked_for(chosen):
        notes.append(f"hours: {time.NO_STEP}")
    if any(line.step_seconds for line in lines):
        notes.append(f"hours: from {time.source(chosen)}")
    if chosen.device == "cuda":
        notes.append(
            "CUDA: the blocks of the allocator are counted, fragmentation is not; the reserve is an assumption"
        )
    else:
        notes.append(
            "CPU: assumes that glibc returns freed memory at once (MALLOC_MMAP_THRESHOLD_=65536); by default it keeps more, see "
            "docs/planner.md"
        )
    for note in notes:
        console.print(note, style="dim", highlight=False)


def _sheet(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 0, 0, 1))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=number > 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(chosen: PlanArguments, line: Line, limit: int | None) -> list[str]:
    assert line.prediction is not None
    cells = [f"{part / 1e9:.2f}" for part in parts_of(line.prediction).values()]
    cells.append(f"{line.prediction.total / 1e9:.2f}")
    if limit is not None:
        cells.append("yes" if line.prediction.total <= limit else "no")
        cells.append("none" if line.largest_batch is None else str(line.largest_batch))
        cells.append("none" if line.largest_crop is None else str(line.largest_crop))
    if time.is_asked_for(chosen):
        cells.append("-" if line.step_seconds is None else f"{line.step_seconds * chosen.iterations / 3600:.1f}")
    return cells


def _json(chosen: PlanArguments, lines: Sequence[Line], limit: int | None) -> None:
    entries = []
    for line in lines:
        entry: dict[str, object] = {"head": line.head}
        if line.prediction is None:
            entry["refused"] = line.problem
        else:
            entry["bytes"] = {**parts_of(line.prediction), "total": line.prediction.total}
            if limit is not None:
                entry["fits"] = line.prediction.total <= limit
                entry |= {"largest_batch": line.largest_batch, "largest_crop": line.largest_crop}
            seconds = line.step_seconds
            entry["step_seconds"] = seconds
            entry["hours"] = None if seconds is None else seconds * chosen.iterations / 3600
            entry["why_no_hours"] = line.no_hours or (time.NO_STEP if seconds is None else "")
        entries.append(entry)
    print(json.dumps({"what": "; ".join(_title(chosen, limit)), "limit_bytes": limit, "heads": entries}, indent=1))
