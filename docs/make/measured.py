"""What networks of a head reached on the trunks of `segattn zoo`, from the committed records."""

from __future__ import annotations

from pathlib import Path

from docs.make.findings_knobs import OWN
from segattn import records
from segattn.profile.markdown import markdown_table

RECORDS = Path(__file__).parents[1] / "records/zoo"
TRUNKS = (
    ("streets-local, sees 55 px", "streets_local_heads", "controlled"),
    ("streets-local, sees 55 px", "streets_local_faithful", "faithful"),
    ("streets, sees 311 px", "streets_heads", "controlled"),
)
"""What the table calls the trunk, the folder of its records, and the mode of its heads."""
BASELINE = "fcn"


def read(folder: str, head: str, mode: str) -> records.RunRecord | None:
    """The record of a head, None where none was trained in this mode."""
    path = RECORDS / folder / f"{head}-{mode}-s0.json"
    if not path.exists():
        return None
    record: records.RunRecord = records.read(path)
    return record


def section(head: str) -> str:
    """Text and table of a head: mIoU, the difference from the FCN of the same trunk, mIoU without the mechanism, and gates."""
    rows = []
    for trunk, folder, mode in TRUNKS:
        record = read(folder, head, mode)
        if record is not None:
            baseline = read(folder.replace("faithful", "heads"), BASELINE, "controlled")
            assert baseline is not None
            rows.append([trunk, mode, *_figures(record, None if head == BASELINE else baseline)])
    if not rows:
        return "The zoo has no network of this head."
    heading = [
        "trunk",
        "mode",
        "mIoU %",
        f"minus {BASELINE}, points",
        "without mechanism %",
        "difference, points",
        "gate, absolute",
    ]
    text = (
        "Generated street scenes of 256x512, 200 for validation, 19 classes; heads of 64 channels on a frozen ResNet-18 of half "
        "width, one seed. *Without mechanism*: the same network with its mechanism cut out, not retrained. The FCN is the "
        "controlled one. The study's ten heads took part in the training of `streets-local`, the others did not. Differences of "
        "a point or two are observations, not a ranking. "
        "[All heads, and how the trunks were trained](../receptive_field.md#the-ten-mechanisms-on-both-trunks)."
    )
    if head == OWN:
        text += " [Findings](../findings.md#a-mechanism-of-our-own-the-star) has its figures over several seeds."
    return f"{text}\n\n{markdown_table(heading, rows, align='llr')}"


def _figures(record: records.RunRecord, baseline: records.RunRecord | None) -> list[str]:
    mean_iou, cut = record.scores.mean_iou, record.without_attention
    compared = "" if baseline is None else _points(mean_iou - baseline.scores.mean_iou)
    without = ["", ""] if cut is None else [f"{100 * cut.mean_iou:.2f}", _points(cut.mean_iou - mean_iou)]
    gates = " / ".join(f"{abs(value):.2f}" for value in (record.gates or {}).values())
    return [f"{100 * mean_iou:.2f}", compared, *without, gates or "none"]


def _points(difference: float) -> str:
    text = f"{100 * difference:+.2f}"
    return text if float(text) else "0.00"
