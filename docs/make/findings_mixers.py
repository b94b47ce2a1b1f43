"""Token mixers in docs/findings.md: every mixer of the small transformer against its own attention."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.figure import Figure

from docs.make import findings_panels
from docs.make.findings_knobs import interval
from docs.make.findings_study import UNKNOWN, Packed, provenance, read, swept
from segattn.profile.markdown import markdown_table
from segattn.report.shared.drawing import ACCENT, INK, STYLE, Drawn, finish

STUDY = "findings_mixers"
USUAL = "attention"
_CLOSE = 0.05
"""GFLOPs; a name between points closer than this stands to the left of its own."""


def section(_: str = "") -> str:
    """A line for each mixer, the best one first."""
    study = read(STUDY)
    if study is None:
        return f"*The study `{STUDY}` has not been run yet.*"
    networks = _networks(study)
    rows = [_row(study, network, mixer, networks.get(USUAL)) for mixer, network in networks.items()]
    heading = [
        "mixer",
        "n",
        "mIoU %",
        f"minus {USUAL}",
        "boundary",
        "small",
        "thin",
        "GFLOPs of the network",
        "least s",
    ]
    return "\n\n".join([markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1)), *provenance([study])])


def difference(mixer: str) -> str:
    """A mixer minus the transformer's own attention, in points."""
    study = read(STUDY)
    names = _networks(study)
    if study is None or not {mixer, USUAL} <= names.keys():
        return UNKNOWN
    return f"{interval(study.difference(names[mixer], names[USUAL]))} points"


def drawn() -> list[Drawn]:
    """What the network loses with each mixer in place of attention, over its FLOPs."""
    study = read(STUDY)
    names = _networks(study)
    if study is None or USUAL not in names:
        return []
    usual = names.pop(USUAL)
    with mpl.rc_context(STYLE):
        width = 6.8
        figure = Figure(figsize=(width, 3.8), layout="constrained")
        panel = figure.subplots()
        panel.axhline(0, color=INK, linewidth=0.8)
        spots = [(study.flops(usual, "whole"), 0.0, f"{USUAL}, {study.mean(usual, 'mean_iou'):.1f} %")]
        for mixer, network in names.items():
            difference, gflops = study.difference(network, usual), study.flops(network, "whole")
            if difference.low is not None:
                panel.plot([gflops, gflops], [difference.low, difference.high], color=ACCENT, linewidth=1.6)
            spots.append((gflops, difference.value, mixer))
        for gflops, value, text in spots:
            panel.plot(gflops, value, "o", color=ACCENT, markersize=5)
            right = gflops < 0.8 * spots[0][0] and not any(0 < other - gflops < _CLOSE for other, *_ in spots)
            panel.annotate(
                text, (gflops, value), xytext=(6 if right else -6, 4), textcoords="offset points", fontsize=7.5,
                ha="left" if right else "right",
            )  # fmt: skip
        panel.set(xlabel="GFLOPs of the network at the crop of 128x256", ylabel=f"mIoU minus that with {USUAL}, points")
        note = f"{study.seeds} seeds, 95 % interval over seeds and images."
        findings_panels.notes(figure, [note, *findings_panels.missing({"token mixers": study})], width)
        return [finish(figure, "findings_mixers", "Token mixers", "mIoU of each mixer minus attention, over FLOPs")]


def _networks(study: Packed | None) -> dict[str, str]:
    """The network's name in the study, by what mixes tokens."""
    return {} if study is None else {str(swept(runs)["mixer"]): name for name, runs in study.networks.items()}


def _row(study: Packed, network: str, mixer: str, usual: str | None) -> list[str]:
    change = "–" if usual in (None, network) else interval(study.difference(network, usual))  # type: ignore[arg-type]
    scores = [study.mean(network, key) for key in ("boundary", "small", "thin")]
    runs = study.networks[network]
    return [
        mixer,
        f"{len(runs)}",
        f"{study.mean(network, 'mean_iou'):.2f}",
        change,
        *("–" if score is None else f"{score:.1f}" for score in scores),
        f"{study.flops(network, 'whole'):.2f}",
        f"{min(run['train_seconds'] for run in runs):.0f}",
    ]
