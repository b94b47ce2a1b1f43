"""Token mixers in docs/findings.md: every mixer of the small transformer against its own attention."""

from __future__ import annotations

from docs.make.findings_knobs import interval
from docs.make.findings_study import Packed, provenance, read, swept
from segattn.profile.markdown import markdown_table

STUDY = "findings_mixers"
USUAL = "attention"


def section(_: str = "") -> str:
    """A line for each mixer, the best one first."""
    study = read(STUDY)
    if study is None:
        return f"*The study `{STUDY}` has not been run yet.*"
    mixers = {network: str(swept(runs)["mixer"]) for network, runs in study.networks.items()}
    usual = next((network for network, mixer in mixers.items() if mixer == USUAL), None)
    rows = [_row(study, network, mixer, usual) for network, mixer in mixers.items()]
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
    names = {} if study is None else {str(swept(runs)["mixer"]): network for network, runs in study.networks.items()}
    if study is None or not {mixer, USUAL} <= names.keys():
        return "(not measured yet)"
    return f"{interval(study.difference(names[mixer], names[USUAL]))} points"


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
