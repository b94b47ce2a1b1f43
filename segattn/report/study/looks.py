"""Where the networks look, and how far the gradient of a logit reaches: what the study drew, and how to draw more."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from segattn.records import Fields, Look, Looks
from segattn.report.shared.text import MISSING, listing, percent
from segattn.report.study.pictures import data_uri, read_picture
from segattn.report.study.study import Study

WIDTH = 1166
"""Most pixels across an embedded picture: a page's width."""


@dataclass(frozen=True)
class LookTile:
    """One picture: from one pixel, the maps of all networks."""

    title: str
    reason: str
    """The rule that chose the pixel."""
    alt: str
    command: str
    """Draws the same photo from any pixel."""
    uri: str | None
    problem: str = ""
    """Why there is no picture."""


@dataclass(frozen=True)
class ReachTable:
    """Effective receptive fields of the networks: a table and the picture."""

    headings: list[str]
    """Of the columns after the network's."""
    lines: list[tuple[str, list[str]]]
    """Network and cells."""
    num_images: int
    uri: str | None
    alt: str
    problem: str
    command: str
    """Draws it anew."""


@dataclass(frozen=True)
class LooksSection:
    """The pictures of one study."""

    networks: str
    """Which networks are drawn, in a sentence."""
    tiles: list[LookTile]
    reach: ReachTable | None


def sections(study: Study) -> list[LooksSection]:
    """One section for each study that has pictures; none for older records."""
    pairs = zip(study.studies, study.folders, strict=False)  # a study put together in memory has no folders
    return [
        LooksSection(
            _networks(record.looks),
            [_tile(look, record.looks, folder) for look in record.looks.pictures],
            _reach(record.looks, record.looks.fields, folder) if record.looks.fields is not None else None,
        )
        for record, folder in pairs
        if record.looks is not None and (record.looks.pictures or record.looks.fields)
    ]


def _networks(looks: Looks) -> str:
    if looks.trunk:
        return (
            f"The networks are those of the trunk {looks.trunk} of segattn zoo, which are fully trained, not the runs of this "
            "study, which start from that trunk."
        )
    return f"The networks are the runs of this study with seed {looks.seed}."


def _tile(look: Look, looks: Looks, folder: Path) -> LookTile:
    x, y = look.pixel
    where = looks.trunk or str(folder)
    command = ["segattn", "maps", where, "--image", str(folder / look.photo), "--pixel", f"{x},{y}"]
    uri, problem = _embedded(folder, look.picture)
    return LookTile(
        title=f"{look.class_name}: pixel ({x}, {y}) of {look.image}",
        reason=look.reason,
        alt=(
            f"The photo {look.image} with pixel ({x}, {y}) marked, labelled {look.class_name}, and the main attention map from "
            f"there of {listing(look.networks)}"
        ),
        command=shlex.join(command),
        uri=uri,
        problem=problem,
    )


def _reach(looks: Looks, fields: Fields, folder: Path) -> ReachTable:
    headings = [
        "half, px",
        "90 %, px",
        *(f"% beyond {distance} px" for distance in fields.distances),
        "90 %, positions",
    ]
    lines = []
    for field in fields.networks:
        shares = [percent(share, 1) for share in field.beyond]
        positions = MISSING if field.most_positions is None else str(field.most_positions)
        lines.append((field.network, [str(field.half), str(field.most), *shares, positions]))
    uri, problem = _embedded(folder, fields.picture)
    alt = f"The share of the gradient by the offset from the pixel, of {listing([name for name, _ in lines])}"
    command = shlex.join(["segattn", "maps", looks.trunk or str(folder), "--receptive-field"])
    return ReachTable(headings, lines, len(fields.images), uri, alt, problem, command)


def _embedded(folder: Path, path: str) -> tuple[str | None, str]:
    """The picture, encoded anew, and what is wrong with it; only files of the study are read."""
    picture, problem = read_picture(folder, path)
    return None if picture is None else data_uri(picture, photograph=True, width=WIDTH), problem
