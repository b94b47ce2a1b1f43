"""The pictures of docs/findings.md."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from docs.make import (
    findings_budget,
    findings_hard,
    findings_knobs,
    findings_mixers,
    findings_modes,
    findings_noise,
    findings_own,
    findings_panels,
    findings_seeds,
)
from docs.make.findings_study import NotRun, Packed, read
from segattn.report.shared.drawing import ACCENT, INK, QUIET, RULE, STYLE, Drawn, finish
from segattn.report.shared.labels import place
from segattn.report.study.families import COLOURS
from segattn.report.study.figures import pareto

_ELSEWHERE = {
    "findings_camvid": "CamVid, frozen",
    "findings_pyramid": "frozen transformer pyramid, random",
    "findings_longer": "streets, 55 pixels, trunk trained on",
    "findings_camvid_local": "CamVid, 67 pixels",
    "findings_facade": "LabelMeFacade, 67 pixels",
    "findings_camvid_whole": "CamVid, whole network trained",
    "findings_whole": "streets, whole network trained",
}
"""Studies beside those of `findings_seeds.TRUNKS`, and what is said of them above their panels."""
_TITLE_LETTERS = 10
"""Of a panel's title, to an inch of its share of the figure."""
_MANY = 10
"""Networks of a study whose panel is a tall one."""


def drawn() -> list[Drawn]:
    """Every picture whose records are there; the page names what a study lacks of the others."""
    figures = []
    others = (findings_modes.drawn, findings_mixers.drawn, findings_noise.drawn)
    for draw in (_all_gains, _all_losses, _all_fronts, _all_budgets, *others):
        with suppress(NotRun):
            figures += draw()
    return figures


def _all_gains() -> Iterator[Drawn]:
    for draw, titles in (_gains, _trunks()), (_elsewhere, _ELSEWHERE):
        found = {title: _against_fcn(name) for name, title in titles.items()}
        studies = {title: findings_seeds.with_own(study) for title, study in found.items() if study is not None}
        if studies:
            yield draw(studies, findings_panels.missing(found))


def _against_fcn(name: str) -> Packed | None:
    """The study, where it has FCN and another network."""
    study = read(name)
    return None if study is None or "fcn" not in study.networks or len(study.networks) == 1 else study


def _all_losses() -> Iterator[Drawn]:
    if losses := findings_hard.changes():
        yield _losses(losses)


def _all_fronts() -> Iterator[Drawn]:
    if (base := read(findings_knobs.BASE)) is not None:
        own = findings_own.settings(base, findings_own.LOCAL)
        # another stride is ten points below, where the axis would leave no room for the rest
        knobs = [each for each in findings_knobs.settings(base) if "output_stride" not in each.options]
        yield _front(base, [*knobs, *own])


def _all_budgets() -> Iterator[Drawn]:
    if every := findings_budget.measured():
        yield _budget(every)


def _trunks() -> dict[str, str]:
    return {name: f"backbone sees {pixels} pixels" for name, pixels in findings_seeds.TRUNKS.items()}


def _gains(studies: dict[str, Packed], missing: Sequence[str]) -> Drawn:
    """What each mechanism adds to FCN, per trunk; the order of the networks is that of the first trunk."""
    names = [name for name in next(iter(studies.values())).networks if name != "fcn"][::-1]
    with mpl.rc_context(STYLE):
        width = 1.9 + 3.1 * len(studies)
        figure = Figure(figsize=(width, 2.0 + 0.21 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(studies), squeeze=False, sharex=True, sharey=True)[0]
        for panel, (title, study) in zip(panels, studies.items(), strict=True):
            findings_panels.gains(panel, names, study, study.contribution)
            panel.set_title(f"{title}\nFCN {study.mean('fcn', 'mean_iou'):.1f} %")
        panels[0].set_yticks(range(len(names)), names)
        note = f"mIoU minus FCN's in points, {_seeds(studies)}. Hollow: points lost when the mechanism is cut out."
        findings_panels.notes(figure, [note, *missing], width)
        findings_panels.families(figure, [study.family(name) for study in studies.values() for name in study.networks])
        return finish(figure, "findings_gains", "What a mechanism adds", "mIoU of each network minus that of FCN")


def _elsewhere(studies: dict[str, Packed], missing: Sequence[str]) -> Drawn:
    """The same for other data, heads and training: a panel for each study, those of many networks above the others."""
    many = {title: study for title, study in studies.items() if len(study.networks) > _MANY}
    few = {title: study for title, study in studies.items() if title not in many}
    lines = [group for group in (many, few) if group]
    tallest = [max(len(study.networks) for study in group.values()) for group in lines]
    with mpl.rc_context(STYLE):
        width = 11.2
        figure = Figure(figsize=(width, 1.5 + sum(0.7 + 0.19 * count for count in tallest)), layout="constrained")
        for part, group in zip(
            figure.subfigures(len(lines), 1, height_ratios=tallest, squeeze=False)[:, 0], lines, strict=True
        ):
            panels = part.subplots(1, len(group), squeeze=False)[0]
            for panel, (title, study) in zip(panels, group.items(), strict=True):
                names = [name for name in study.networks if name != "fcn"][::-1]
                findings_panels.gains(panel, names, study)
                panel.set_yticks(range(len(names)), names)
                wrapped = textwrap.fill(title, int(_TITLE_LETTERS * width / len(group)))
                panel.set_title(f"{wrapped}\nFCN {study.mean('fcn', 'mean_iou'):.1f} %, {study.seeds} seeds")
        note = "mIoU minus FCN's in points, 95 % interval over seeds and images. Each panel has its own scale."
        findings_panels.notes(figure, [note, *missing], width)
        what = "mIoU of each network minus that of FCN, on other data and with other training"
        return finish(figure, "findings_elsewhere", "What a mechanism adds elsewhere", what)


def _losses(changes: Sequence[findings_hard.Change]) -> Drawn:
    """What losses, a finer map and mechanisms add to FCN: in all, on small segments, on thin classes and on rare ones."""
    columns = ("mIoU", "small", "thin classes", "rare classes")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.6, 1.3 + 0.23 * len(changes)), layout="constrained")
        panels = figure.subplots(1, len(columns), sharey=True)
        for panel, column in zip(panels, columns, strict=True):
            panel.axvline(0, color=INK, linewidth=0.8)
            for row, each in enumerate(reversed(changes)):
                mechanism = each.head in findings_hard.HEADS
                findings_panels.interval(
                    panel, row, each.gains[column], COLOURS["criss-cross"] if mechanism else ACCENT
                )
            panel.set_title("small segments" if column == "small" else column)
            panel.grid(axis="y", color=RULE, linewidth=0.4)
        panels[0].set_yticks(range(len(changes)), [each.label for each in reversed(changes)])
        seeds = " and ".join(str(count) for count in dict.fromkeys(each.seeds for each in changes))
        findings_panels.notes(
            figure,
            [f"Points above FCN with cross-entropy, {seeds} seeds, 95 % interval over seeds. Green: with attention."],
            10.6,
        )
        return finish(figure, "findings_losses", "Small, thin and rare things", "What losses and mechanisms add to FCN")


def _front(base: Packed, settings: Sequence[findings_knobs.Setting | findings_own.Against]) -> Drawn:
    """Mean IoU over the mechanism's FLOPs: every head by default, other options hollow, and what nothing cheaper beats."""
    spots = [(base.flops(name), base.mean(name, "mean_iou") or 0.0, base.family(name), name) for name in base.networks]
    spots += [(each.gflops, each.mean_iou, each.study.family(each.network), each.label) for each in settings]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        words = "GFLOPs of the mechanism at 128x256 (2 per multiply-add)"
        _fronts(figure, {words: spots})
        return finish(
            figure, "findings_front", "Context against cost", "Mean IoU of each network over its mechanism's FLOPs"
        )


def _budget(every: Sequence[findings_budget.Measured]) -> Drawn:
    """Mean IoU over the mechanism's milliseconds and memory."""
    costs = {"milliseconds": "ms of the mechanism on a scene of 256x512", "mebibytes": "MiB that it needs besides"}
    panels = {
        words: [(getattr(each, cost), each.mean_iou, each.family, each.network) for each in every]
        for cost, words in costs.items()
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 4.2), layout="constrained")
        _fronts(figure, panels)
        what = "Mean IoU of each network over its mechanism's time and memory"
        return finish(figure, "findings_budget", "Context against time and memory", what)


Spot = tuple[float, float, str, str]
"""Cost, mIoU, family and name of a network."""


def _fronts(figure: Figure, panels: dict[str, list[Spot]]) -> None:
    """A panel for each cost, with the line of what nothing cheaper beats; a name with = is hollow."""
    labels = []
    for panel, (words, spots) in zip(
        figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels.items(), strict=True
    ):
        least = min(x for x, *_ in spots if x > 0) / 2
        front = pareto([(x, y) for x, y, *_ in spots])
        corners = [(max(spots[index][0], least), spots[index][1]) for index in front]
        panel.step(*zip(*corners, strict=True), where="post", color=INK, linewidth=0.8)
        texts = []
        for index, (x, y, family, label) in enumerate(spots):
            own, usual = COLOURS.get(family, QUIET), "=" not in label
            panel.plot(max(x, least), y, "o", color=own, markerfacecolor=own if usual else "none", markersize=5)
            texts.append((max(x, least), y, label, "bold" if index in front else "normal"))
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.4g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel(f"{words}; FCN has none, drawn at {least:.1g}")
        labels.append((panel, texts, corners))
    labels[0][0].set_ylabel("mIoU %")
    for each in labels:
        _label(figure, *each)


def _label(
    figure: Figure, panel: Any, texts: list[tuple[float, float, str, str]], front: list[tuple[float, float]]
) -> None:
    """Names beside their points, with leader lines where they had to move."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # settles the layout, so that pixels are final
    figure.set_layout_engine("none")
    panel.set(xlim=panel.get_xlim(), ylim=panel.get_ylim())
    renderer = canvas.get_renderer()
    drawn = [panel.text(0, 0, text, fontsize=6.5, weight=weight) for *_, text, weight in texts]
    boxes = [each.get_window_extent(renderer) for each in drawn]
    points = [tuple(panel.transData.transform((x, y))) for x, y, *_ in texts]
    dots = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    for (x0, y0), (x1, y1) in itertools.pairwise(panel.transData.transform(front)):
        dots += 4 * [(x0, y0 - 1, x1, y0 + 1), (x1 - 1, y0, x1 + 1, y1)]
    sizes = [(box.width + 4, box.height + 1) for box in boxes]
    placements = place(points, sizes, tuple(panel.get_window_extent(renderer).extents), dots)
    to_data = panel.transData.inverted()
    for text, placement in zip(drawn, placements, strict=True):
        text.set(position=to_data.transform((placement.box[0] + 2, placement.box[1])), ha="left", va="bottom")
        if placement.leader:
            panel.plot(*to_data.transform(placement.leader).T, color=QUIET, linewidth=0.5, zorder=1)


def _seeds(studies: dict[str, Packed]) -> str:
    counts = " and ".join(str(count) for count in dict.fromkeys(study.seeds for study in studies.values()))
    return "one seed, no interval" if counts == "1" else f"{counts} seeds, 95 % interval over seeds and images"
