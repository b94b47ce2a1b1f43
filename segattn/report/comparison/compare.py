"""Two networks on the same images: what differs, by how much, and whether there are enough images to be sure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from segattn.evaluation import strata
from segattn.report.comparison.without import Without, without
from segattn.report.shared import bootstrap, images, student, twoway
from segattn.report.shared.student import Difference
from segattn.report.study.contrast import by_seed, unpaired
from segattn.report.study.rows import Row, called, is_hard
from segattn.report.study.study import Source, Study, check, load
from segattn.report.study.verdict import LEVEL

MOST_IMAGES = 10
"""Images listed."""


@dataclass(frozen=True)
class Line:
    """One score of both networks; fractions."""

    name: str
    a: float | None
    """None where the score is not defined."""
    b: float | None
    difference: Difference
    """a - b; its p value is that of this score alone."""
    p: float | None
    """Holm-corrected within the line's table."""
    num_images: int
    """Images that the score rests on."""
    share: float
    """Of the labelled pixels."""
    colour: tuple[int, int, int] | None = None
    hard: bool = False

    @property
    def clear(self) -> bool:
        """Whether the networks are distinguishable in this score."""
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class ImageLine:
    """One image: mean IoU over the classes labelled in it, mean over seeds."""

    name: str
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """Network A against network B."""

    study: Study
    """Of the two rows only, A first whichever is better."""
    total: Line
    """Mean IoU."""
    classes: list[Line]
    """In the data set's order."""
    details: list[Line]
    """Boundaries, and strata by size and width; empty where they are not recorded."""
    images: list[ImageLine]
    """Every image with labels, those on which the networks differ most first."""
    unpaired: str | None
    """Why the networks are not paired by seed, which makes the test a bootstrap; None where they are."""
    without: Without | None = None
    """Both networks without their mechanisms; None where that is not recorded."""

    @property
    def a(self) -> Row:
        return self.study.rows[0]

    @property
    def b(self) -> Row:
        return self.study.rows[1]

    @cached_property
    def num_compared(self) -> int:
        """Classes that have a p value: what Holm's correction is for."""
        return sum(line.p is not None for line in self.classes)


def compare(a: Study, b: Study, *, resamples: int = bootstrap.RESAMPLES, seed: int = bootstrap.SEED) -> Comparison:
    """Compare the only network of `a` with the only one of `b`.

    Networks with the same seeds, at least two, are paired by seed and image (`twoway`); others by image only, with a bootstrap
    of `resamples` drawn from `seed`.

    Raises:
        ValueError: different data sets, splits, classes, images or labels; a run without counts of its images.
    """
    row_a, row_b = a.rows[0], b.rows[0]
    check(row_b.runs[0], row_a.runs[0])
    if {run.folder.resolve() for run in row_a.runs} & {run.folder.resolve() for run in row_b.runs}:
        raise ValueError(f"{row_a.runs[0].folder}: a network is not compared with itself; name two")
    row_a, row_b = map(by_seed, told_apart([row_a, row_b]))
    reason = unpaired(row_a, row_b)
    of_a, of_b = row_a.images, row_b.images
    images.check_same(of_a[0], of_b[0], row_a.label, row_b.label)
    studies = list({id(record): record for record in (*a.studies, *b.studies)}.values())
    study = Study(rows=[row_a, row_b], studies=studies)
    labelled = of_a[0].labelled

    def differences(counts_a: bootstrap.Counts, counts_b: bootstrap.Counts, occurs: np.ndarray) -> list[Difference]:
        if reason is None:
            return twoway.difference(counts_a, counts_b, occurs)
        return bootstrap.difference(counts_a, counts_b, occurs, resamples=resamples, seed=seed)

    counts_a, counts_b = images.counts(of_a), images.counts(of_b)
    total, *classes = differences(counts_a, counts_b, labelled > 0)
    scores = list(zip(bootstrap.iou(counts_a), bootstrap.iou(counts_b), strict=True))
    n, everything = len(labelled), max(1, int(labelled.sum()))
    return Comparison(
        study=study,
        total=Line("mIoU", *_defined(scores[0]), total, total.p, n, 1.0),
        classes=_corrected(
            [
                Line(
                    name=name,
                    a=_defined(score)[0],
                    b=_defined(score)[1],
                    difference=difference,
                    p=difference.p,
                    num_images=int((labelled[:, index] > 0).sum()),
                    share=float(labelled[:, index].sum() / everything),
                    colour=study.first.palette[index],
                    hard=is_hard(name),
                )
                for index, (name, score, difference) in enumerate(
                    zip(study.first.class_names, scores[1:], classes, strict=True)
                )
            ]
        ),
        details=_corrected(_details(row_a, row_b, differences)),
        images=_images(row_a, row_b),
        unpaired=reason,
        without=without(row_a, row_b, resamples=resamples, seed=seed),
    )


def _details(row_a: Row, row_b: Row, differences) -> list[Line]:  # type: ignore[no-untyped-def]
    """Means over classes at boundaries and in each stratum."""
    of_a, of_b = row_a.images, row_b.images
    labelled, details = of_a[0].labelled, []
    sources = [("boundary mIoU", [images.boundary_counts(runs) for runs in (of_a, of_b)], labelled > 0, 1.0)]
    for kind, names, axis in (("size", strata.SIZES, 4), ("width", strata.WIDTHS, 3)):
        for index, name in enumerate(names):
            counts = [images.stratum_counts(runs, kind, index) for runs in (of_a, of_b)]
            if of_a[0].strata is not None:
                pixels = of_a[0].strata[:, 0].sum(axis - 1)[..., index]
                share = float(pixels.sum() / max(1, labelled.sum()))
                sources.append((f"{kind}: {name}", counts, pixels > 0, share))
    for name, (a, b), occurs, share in sources:
        if a is not None and b is not None:
            score = _defined((bootstrap.iou(a)[0], bootstrap.iou(b)[0]))
            count = int(occurs.any(1).sum())
            difference = differences(a, b, occurs)[0]
            if count < bootstrap.FEWEST_IMAGES:
                difference = Difference(difference.value, None, None, None)
            details.append(Line(name, *score, difference, difference.p, count, share))
    return details


def _corrected(lines: list[Line]) -> list[Line]:
    """P values corrected for the number of lines that have one."""
    adjusted = iter(student.holm([line.p for line in lines if line.p is not None]))
    return [line if line.p is None else dataclasses.replace(line, p=next(adjusted)) for line in lines]


def _images(row_a: Row, row_b: Row) -> list[ImageLine]:
    values = [np.mean([run.mean_iou() for run in row.images], axis=0) for row in (row_a, row_b)]
    by_image = [ImageLine(name, float(a), float(b)) for name, a, b in zip(row_a.images[0].names, *values, strict=True)]
    return sorted((line for line in by_image if not math.isnan(line.a)), key=lambda line: -abs(line.a - line.b))


def _defined(values: tuple[float, float]) -> tuple[float | None, float | None]:
    a, b = (None if math.isnan(value) else float(value) for value in values)
    return a, b


def told_apart(rows: Sequence[Row]) -> list[Row]:
    """The rows with different labels: the head, where needed with its mode, swept settings, experiment, or else the folder."""
    names = [
        [row.head for row in rows],
        [f"{row.head} ({row.mode})" for row in rows],
        [row.label for row in rows],
        [f"{row.head} ({row.experiment})" for row in rows],
        [f"{row.head} ({_place(row)})" for row in rows],
    ]
    heads = names[0]
    labels = next((each for each in names if len(set(each)) == len(rows)), names[-1])
    labels = [label if heads.count(head) > 1 else head for label, head in zip(labels, heads, strict=True)]
    return [dataclasses.replace(row, label=label) for row, label in zip(rows, labels, strict=True)]


def _place(row: Row) -> str:
    return (
        row.runs[0].folder.parent.name + "/" + row.runs[0].folder.name if row.n == 1 else str(row.runs[0].folder.parent)
    )


def select(name: str, head: str | None = None) -> Study:
    """The one network that `name` stands for: a run's folder, `STUDY:head`, or a study's folder and the head.

    A head is named as in `segattn heads`, with its mode where the study has both (`ccnet-controlled`), or as the folders of its
    runs are where the study is a sweep (`ccnet-controlled-lr0.01`).

    Raises:
        ValueError: nothing there, no such head, or several networks; the message lists them.
    """
    path: Source = name
    if not Path(name).exists() and ":" in name:
        path, _, wanted = name.rpartition(":")
        if head not in (None, wanted):
            raise ValueError(f"{name} names the head {wanted!r}, and --heads {head!r}; name it once")
        head = wanted
    study = load(path)
    rows = [row for row in study.rows if head in (None, row.head, f"{row.head}-{row.mode}")]
    rows = [row for row in study.rows if head in (called(row, study.rows), row.folder_name)] or rows
    known = ", ".join(dict.fromkeys(called(row, study.rows) for row in sorted(study.rows, key=lambda row: row.label)))
    if not rows:
        raise ValueError(f"{path} has no finished run of {head!r}; it has {known}")
    if len(rows) > 1:
        raise ValueError(
            f"{path} has several networks; name one, such as {path}:{known.split(', ')[0]}. It has {known}"
        )
    return Study(rows=rows, studies=study.studies)
