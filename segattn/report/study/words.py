"""The words of the report: the finding, what the columns mean, and caveats. All of it is written from the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segattn.records import Cost
from segattn.report.shared.student import Difference
from segattn.report.shared.text import MOST_NAMED, listing, percent, times
from segattn.report.study import certainty, contribution, start, swept
from segattn.report.study.rows import Row
from segattn.report.study.study import MOST_SHOWN, Study

CONVENTIONS = {
    "macs": "GMACs: multiply-adds of convolutions, linear layers and matrix products, without bias.",
    "flops": "GFLOPs: 2 operations per multiply-add, without bias.",
    "study": "Study's GFLOPs: 2HW(C_in K² + 1)C_out for a convolution, 2mkn for a matrix product; the +1 is always counted, with"
    " or without a bias.",
}
NOT_COUNTED = (
    "Softmax, normalisation, resizing, pooling and activations are not included; they are element operations and counted"
    " separately."
)
PARTS = {
    "mechanism": "the attention itself",
    "head": "everything after the backbone, at inference",
    "network": "backbone and head, one image",
}


def size_text(size: tuple[int, int]) -> str:
    """769×769."""
    return f"{size[0]}×{size[1]}"


def network_text(cost: Cost) -> str:
    """What a cost was counted on."""
    return (
        f"{cost.backbone}, output stride {cost.output_stride}, {cost.num_classes} classes,"
        f" input {size_text(cost.input_size)}"
    )


def counted_on(costs: Iterable[Cost | None]) -> str:
    """What costs were counted on in a few words, for a heading: `resnet18 at 97×193`; empty where they differ or are missing."""
    settings = {f"{cost.backbone} at {size_text(cost.input_size)}" for cost in costs if cost is not None}
    return settings.pop() if len(settings) == 1 else ""


def seeds_text(study: Study) -> str:
    """How many seeds: `one seed`, `3 seeds each`, `1 to 3 seeds`."""
    counts = {row.n for row in study.rows}
    if len(counts) > 1:
        return f"{min(counts)} to {max(counts)} seeds"
    n = counts.pop()
    one, many = ("one seed", f"{n} seeds") if len(study.rows) == 1 else ("one seed each", f"{n} seeds each")
    return one if n == 1 else many


def baseline_text(study: Study) -> str:
    """The baseline in a sentence: `the fcn baseline`."""
    return "the baseline" if study.baseline_name == "baseline" else f"the {study.baseline_name} baseline"


def where_text(study: Study) -> str:
    """What was scored: `on streets val (40 images)`."""
    return f"on {study.first.dataset} {study.first.split} ({study.first.scores.images})"


def finding(study: Study, *, brief: bool = False) -> list[str]:
    """The summary, sentence by sentence: which network leads, by how much, and whether the seeds support it.

    `brief` leaves out the tests, and what the heading of the table says too.
    """
    leader = study.rows[0]
    if len(study.rows) == 1:
        sentences = [
            f"{leader.label} reaches {percent(leader.mean_iou)} % mIoU {where_text(study)}, {seeds_text(study)}."
        ]
        return [*sentences, "There is no other network here to compare it with."]
    runner_up = study.rows[1]
    sentences = [_lead(study, leader, runner_up, brief=brief)]
    if study.verdict is None:
        sentences.append(
            "Differences smaller than seed-to-seed variation cannot be detected, and one seed does not show that variation:"
            " treat the order as an observation, not as a ranking."
        )
    else:
        sentences += certainty.distinguishable(study.verdict, brief=brief)
    return sentences + _against_baseline(study, brief=brief) + swept.best(study)


def _lead(study: Study, leader: Row, runner_up: Row, *, brief: bool) -> str:
    where, seeds = ("", "") if brief else (f" {where_text(study)}", f", with {seeds_text(study)}")
    text = f"{leader.label} has the highest mIoU{where}, {percent(leader.mean_iou)} %{seeds}: "
    margin = percent(leader.mean_iou - runner_up.mean_iou)
    lead = f"level with {runner_up.label}" if margin == "0.00" else f"{margin} points above {runner_up.label}"
    baseline = study.baseline(leader)
    if baseline is None or baseline in (leader, runner_up):
        return f"{text}{lead}."
    return f"{text}{lead}, {percent(leader.mean_iou - baseline.mean_iou)} points above {baseline_text(study)}."


def _against_baseline(study: Study, *, brief: bool) -> list[str]:
    rows = [(row, delta) for row in study.rows if (delta := study.delta(row)) is not None]
    compared = [(row, delta) for row, delta in rows if row.facts is None or row.facts.attends]
    without = [(row, delta) for row, delta in rows if (row, delta) not in compared]
    others = [_context_without_attention(study, without)] if without else []
    if not compared:
        return others
    above = [row.label for row, delta in compared if round(delta.value, 4) > 0]  # as printed
    below = [row.label for row, _ in compared if row.label not in above]
    verb = "network is" if len(compared) == 1 else "networks are"
    text = f"{len(above)} of {len(compared)} attention {verb} above {baseline_text(study)}"
    if study.baseline_verdict and any(delta.low is not None for _, delta in compared):
        unclear = set(study.baseline_verdict.unclear)
        if above:
            text += f", {_share_of([label not in unclear for label in above])}"
        if below:
            clear = [label not in unclear for label in below]
            verb = "is" if sum(clear) <= 1 else "are"
            those = below[0] if len(below) == 1 else f"{sum(clear) or 'none'} of the {len(below)} others"
            text += f"; {those} {verb} {'' if any(clear) or len(below) > 1 else 'not '}distinguishably below it"
        test = f"{certainty.tests_text(study.baseline_verdict)}, Holm-corrected for {times(len(rows))}"
        text += "" if brief else f" ({test})"
    elif below and len(below) <= 4:
        text += f" ({listing(below)} {'is' if len(below) == 1 else 'are'} not)"
    return [f"{text}.", *others]


def _context_without_attention(study: Study, compared: list[tuple[Row, Difference]]) -> str:
    """How far the heads of family `pyramid` are from the baseline."""
    if len(compared) > MOST_NAMED:
        above = sum(round(delta.value, 4) > 0 for _, delta in compared)
        return (
            f"With context but without attention, {above} of {len(compared)} networks are above {baseline_text(study)}."
        )
    places = [
        f"{row.label} is {percent(abs(delta.value))} points {'above' if round(delta.value, 4) > 0 else 'below'}"
        for row, delta in compared
    ]
    return f"With context but without attention, {listing(places)} {baseline_text(study)}."


def _share_of(clear: Sequence[bool]) -> str:
    """How many of those that are above are so distinguishably: `2 of them distinguishably`."""
    if len(clear) == 1:
        return "distinguishably" if clear[0] else "not distinguishably"
    return f"{'all' if all(clear) else sum(clear) or 'none'} of them distinguishably"


def shown_note(study: Study) -> str:
    """Which rows a long table shows; empty where it shows all."""
    if not study.folded:
        return ""
    most, baseline = f"the {MOST_SHOWN} networks of highest mIoU", len(study.shown) > MOST_SHOWN
    which = f"{most} and the best baseline" if baseline else most
    return f"Tables and figures show {which}; table.csv has all {len(study.rows):,}. Tests compare all."


def footnotes(study: Study) -> list[str]:
    """Definitions under the main table."""
    scores = study.first.scores
    notes = [note] if (note := shown_note(study)) else []
    notes += [f"Accuracy: {_sentence(scores.definition)} Inference: {_sentence(scores.inference)}"]
    notes.append(
        "± is the sample standard deviation over n seeds."
        if study.seeds > 1
        else "One seed: differences smaller than seed-to-seed variation cannot be detected."
        if all(row.n == 1 for row in study.rows)
        else "± is the sample standard deviation over n seeds; no ± means one seed."
    )
    notes += certainty.mark_notes(study, baseline_text(study))
    if any(study.delta(row) for row in study.rows):
        name, text = study.baseline_name, baseline_text(study)
        notes.append(certainty.delta_note(study, name, text))
    notes += contribution.notes(study) + start.notes(study)
    notes += certainty.sensitivity_note(study, baseline_text(study))
    return notes + cost_notes(study) + ([study.bench_columns.note] if study.bench_columns else [])


def cost_notes(study: Study) -> list[str]:
    """What the cost columns were counted on, and how."""
    costs = _networks(map(study.cost, study.rows))
    if not costs:
        return ["No cost figures in these records."]
    of = "the reference network, not of those trained here" if study.cost_is_reference else "the networks trained here"
    notes = [f"Cost of one image in {of}: {costs}."]
    if reference := _networks(map(study.reference_cost, study.rows)):
        notes.append(f"Reference network: {reference}. It was not trained here; the accuracy is not its own.")
    return [
        *notes,
        f"{CONVENTIONS['flops']} {NOT_COUNTED}",
        "; ".join(f"{name}: {meaning}" for name, meaning in PARTS.items()).capitalize() + ".",
    ]


def _networks(costs: Iterable[Cost | None]) -> str:
    """What costs were counted on; each setting once."""
    return "; ".join(dict.fromkeys(network_text(cost) for cost in costs if cost is not None))


def _sentence(text: str) -> str:
    return f"{text.rstrip('. ')}."
