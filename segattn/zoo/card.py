"""Model cards: what a network of the zoo is, how it was trained, and what it is not for; for the terminal and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from segattn.zoo.entry import Entry

_LABEL = 20
"""Width of the labels' column on the terminal."""
_CODE = ("trained with", "trunk trained with", "Python", "command line")
"""Labels of what a user can type."""


def text(entry: Entry, *, width: int = 80) -> str:
    """The card of one network for a terminal of `width` columns."""
    lines = [f"{entry.name}: {percent(entry.mean_iou)} % mIoU", ""]
    for label, value in [*of_network(entry), *of_trunk(entry)]:
        filled = textwrap.wrap(value, width - _LABEL, break_on_hyphens=False)
        lines += [f"{name:{_LABEL}}{line}" for name, line in zip([label] + [""] * len(filled), filled, strict=False)]
    cells = [f"{name:15}{percent(iou):>5}" for name, iou in zip(entry.class_names, entry.iou, strict=True)]
    columns = max(1, (width + 4) // 24)
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return "\n".join([*lines, "", "IoU of each class in %", *("    ".join(row) for row in rows)])


def page(entries: Sequence[Entry], table: Callable[[Sequence[str], Sequence[Sequence[str]]], str]) -> str:
    """The cards of a trunk's networks as one page in Markdown; `table` writes a Markdown table of headings and rows."""
    first = entries[0]
    lines = [
        f"# Trained networks: {first.trunk}",
        "",
        "Written by `python -m docs.make.zoo`; `segattn zoo` prints the same.",
        "",
        *bullets(of_trunk(first)),
        "",
        table(
            ("network", "mIoU %", "seed", "M parameters", "MB beside the trunk"),
            [
                (
                    entry.name,
                    percent(entry.mean_iou),
                    str(entry.seed),
                    millions(entry.parameters),
                    megabytes(entry.own_bytes),
                )
                for entry in entries
            ],
        ),
    ]
    for entry in entries:
        scores = zip(entry.class_names, entry.iou, strict=True)
        lines += [
            "",
            f"## {entry.name}",
            "",
            *bullets(of_network(entry)),
            *bullets([("IoU of each class in %", ", ".join(f"{name} {percent(iou)}" for name, iou in scores))]),
        ]
    return "\n".join(lines) + "\n"


def bullets(facts: Sequence[tuple[str, str]]) -> list[str]:
    """Labels and texts as a list in Markdown."""
    lines = [f"* **{label}**: {f'`{value}`' if label in _CODE else value}" for label, value in facts]
    return [part for line in lines for part in textwrap.wrap(line, 120, subsequent_indent="  ", break_on_hyphens=False)]


def percent(share: float | None) -> str:
    """A score in percent with one decimal; a dash for a class that does not occur.

    >>> percent(0.46349), percent(None)
    ('46.3', '-')
    """
    return "-" if share is None else f"{100 * share:.1f}"


def millions(count: int) -> str:
    """A number of parameters in millions.

    >>> millions(3_183_123)
    '3.18'
    """
    return f"{count / 1e6:.2f}"


def megabytes(count: int) -> str:
    """A size in megabytes of 10^6 bytes.

    >>> megabytes(741_232)
    '0.74'
    """
    return f"{count / 1e6:.2f}"


def of_network(entry: Entry) -> list[tuple[str, str]]:
    """What is known of the network itself, as labels and texts."""
    form = {
        "controlled": "the same convolutions around every mechanism",
        "faithful": "the paper's own head",
    }[entry.mode]
    files = ", ".join(
        f"{file.path.name} {megabytes(file.size_bytes)} MB ({file.dtype})"
        for file in dict.fromkeys((entry.trunk_file, entry.head_file))
    )
    return [
        (
            "network",
            f"head {entry.head}, mode {entry.mode} ({form}), on the backbone of the trunk {entry.trunk}; "
            f"{len(entry.class_names)} classes",
        ),
        (
            "mIoU",
            f"{100 * entry.mean_iou:.2f} % on {entry.num_images} validation scenes, as recorded at the end of training; "
            f"{100 * entry.first_mean_iou:.2f} % on the first {entry.first_images} with the stored weights in fp32",
        ),
        ("parameters", f"{millions(entry.parameters)} M, of them {millions(entry.head_parameters)} M in the head"),
        ("files", files),
        ("seed", str(entry.seed)),
        ("trained with", entry.command),
        ("machine", entry.machine),
        ("date", entry.date),
        ("Python", f'model = segattn.load_model("{entry.name}")'),
        ("command line", f"segattn predict {entry.name} PHOTO -o OUT"),
    ]


def of_trunk(entry: Entry) -> list[tuple[str, str]]:
    """What is known of its backbone and data, as labels and texts."""
    described = entry.experiment["model"]
    height, width = entry.scenes["size"]
    return [
        (
            "trunk",
            f"{entry.trunk}: {described['backbone']} at output stride {described['output_stride']}, "
            f"{millions(entry.backbone_parameters)} M parameters; shared by its networks and stored once",
        ),
        (
            "receptive field",
            f"{entry.receptive_field} px: side of the square that a position of the backbone's last map sees",
        ),
        ("trunk trained with", entry.trunk_command),
        (
            "data",
            f"street scenes that segattn generates (data set {entry.scenes['name']}, {height}x{width} px); "
            "they need no licence and show no person",
        ),
        (
            "limits",
            "trained on generated scenes only: the network does not know real streets. Use it to study attention and to try "
            "segattn, not for decisions about real photos",
        ),
    ]
