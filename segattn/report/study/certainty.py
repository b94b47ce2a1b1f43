"""How certain the differences of the table are, in words: tests, marks, and what it would take to detect half a point."""

from __future__ import annotations

from segattn.report.shared.power import MOST_SEEDS
from segattn.report.shared.text import MOST_NAMED, UNCLEAR, listing, percent, times
from segattn.report.study.contrast import Contrast
from segattn.report.study.sensitivity import DIFFERENCE, sensitivity
from segattn.report.study.study import Study
from segattn.report.study.verdict import Verdict

TESTS = {
    "two-way": "paired t over images and seeds",
    "paired": "paired t over seeds",
    "seeds": "Welch's t over unpaired seeds",
    "images": "paired bootstrap over images",
}
COVERS = {
    "two-way": "seed-to-seed variation and the choice of images",
    "paired": "seed-to-seed variation only, not the choice of images",
    "seeds": "seed-to-seed variation only, not the choice of images",
    "images": "the choice of images only, not seed-to-seed variation",
}
"""What a test covers; none covers settings, or that images may depend on each other."""
TWO_SEEDS = (
    "With two seeds, 95 % intervals over images and seeds cover the true difference in 89 to 95 % of cases only."
)
_OVER = {"seeds": {"two-way", "paired", "seeds"}, "images": {"two-way", "images"}}
"""Tests that cover each."""
_VARIATION = {"seeds": "seed-to-seed variation", "images": "the variation between choices of images"}


def distinguishable(verdict: Verdict, *, brief: bool = False) -> list[str]:
    """Whether the first row is above the others, in a sentence or two; `brief` leaves out the test."""
    test = "" if brief else f" ({tests_text(verdict)}, Holm-corrected for {times(len(verdict.p))})"
    over = [what for what, tests in _OVER.items() if not tests.isdisjoint(verdict.tests)]
    if not verdict.unclear:
        sentences = [
            f"Its lead over every other network is larger than {listing([_VARIATION[o] for o in over])}{test}."
        ]
    elif len(verdict.unclear) == len(verdict.p):
        sentences = [f"There are too few {' or '.join(over)} to distinguish it from any other network{test}."]
    elif len(verdict.unclear) > MOST_NAMED:
        names = f"{len(verdict.unclear):,} of the {len(verdict.p):,} others, marked {UNCLEAR}"
        sentences = [
            f"There are too few {' or '.join(over)} to distinguish it from {names}; it is above the rest{test}."
        ]
    else:
        names = listing(verdict.unclear)
        sentences = [
            f"There are too few {' or '.join(over)} to distinguish it from {names}; it is above the others{test}."
        ]
    if "images" in verdict.tests:
        sentences.append(
            "One seed does not show seed-to-seed variation: treat the order as an observation, not as a ranking."
        )
    return sentences


def tests_text(verdict: Verdict) -> str:
    """The tests used: `paired t over images and seeds`."""
    return listing([TESTS[test] for test in verdict.tests])


def mark_notes(study: Study, baseline: str) -> list[str]:
    """What the marks ≈ in the main table mean, what they do not cover, and which rows are not paired by seed."""
    verdicts = {"a name": (study.verdict, "the first row")}
    verdicts["Δ"] = (study.baseline_verdict, baseline)
    marked = {place: (verdict, of) for place, (verdict, of) in verdicts.items() if verdict and verdict.unclear}
    by_test: dict[str, list[str]] = {}
    for place, (verdict, of) in marked.items():
        test = f"{tests_text(verdict)}, Holm-corrected for {times(len(verdict.p))}, p ≥ 0.05"
        by_test.setdefault(test, []).append(f"after {place}, not distinguishable from {of}")
    notes = [f"{UNCLEAR}: {'; '.join(places)} ({test})." for test, places in by_test.items()]
    if "a name" in marked and len(study.rows) > 2:
        notes[0] += " The first row was selected as the best on these images, which favours it slightly."
    used = list(dict.fromkeys(test for verdict, _ in verdicts.values() if verdict for test in verdict.tests))
    if marked:
        covers = listing([f"{TESTS[test]}: {COVERS[test]}" for test in used]) if len(used) > 1 else COVERS[used[0]]
        note = f"Tests cover {covers}." if len(used) == 1 else f"What the tests cover: {covers}."
        if {"two-way", "images"} & set(used):
            note += " They are too confident where images depend on each other, such as frames of one drive."
        notes.append(note)
    notes += unpaired_note(study)
    if any(each.test == "two-way" and each.spread.num_seeds == 2 for each in _contrasts(study) if each.spread):
        notes.append(f"{TWO_SEEDS} Run a third seed.")
    return notes


def _contrasts(study: Study) -> list[Contrast]:
    return [*study.contrasts.values(), *(study.verdict.contrasts.values() if study.verdict else [])]


def unpaired_note(study: Study) -> list[str]:
    """Which rows do not have the same seeds and samples, in a sentence."""
    contrasts = _contrasts(study)
    reasons = list(dict.fromkeys(contrast.unpaired for contrast in contrasts if contrast.unpaired))
    more = f"; and {len(reasons) - MOST_NAMED:,} more" if len(reasons) > MOST_NAMED else ""
    return [f"Not paired by seed: {'; '.join(reasons[:MOST_NAMED])}{more}."] if reasons else []


def sensitivity_note(study: Study, baseline: str) -> list[str]:
    """How many seeds, or images, a difference of half a point would need."""
    needs = sensitivity(study)
    if needs is None:
        return []
    spread, what = needs.spread, f"a difference of {percent(DIFFERENCE)} points"
    chance = "(80 % power, two-sided 5 % level, one comparison)"
    where = "" if spread.num_images is None else f" on these {spread.num_images:,} images"
    if needs.images is not None:
        text = f"No number of seeds detects {what}{where} {chance}: at least {needs.images:,} images are needed."
    else:
        count = f"about {needs.seeds:,.0f} seeds" if needs.seeds <= MOST_SEEDS else f"more than {MOST_SEEDS:,} seeds"
        text = f"Detecting {what} {chance} takes {count}{where}; there are {spread.num_seeds}."
    to = baseline if study.contrasts else "the first row"
    text += f" Measured: the paired difference to {to} varies from seed to seed by {percent(spread.between_seeds**0.5)} points"
    text += " (standard deviation" + (f", pooled over {needs.num_rows} networks)" if needs.num_rows > 1 else ")")
    if spread.num_images is None:
        return [f"{text}; the choice of images is not included."]
    error = percent(spread.between_images**0.5)
    return [f"{text}; the choice of images adds a standard error of {error} points, which more seeds do not reduce."]


def delta_note(study: Study, name: str, baseline: str) -> str:
    """What the column of differences to the baseline shows."""
    note = f"Δ {name}: mean mIoU minus that of {baseline}, in percentage points"
    contrasts = study.contrasts.values()
    tests = list(dict.fromkeys(contrast.test for contrast in contrasts if contrast.difference.low is not None))
    if tests:
        how = listing([TESTS[test] for test in tests])
        note += (
            f", with its 95 % interval ({how}; not corrected for several comparisons), in narrow tables ± half of it"
        )
    return f"{note}."
