"""`segattn compare`: both networks without their mechanisms, per class and stratum, with an interval over images."""

import csv
import dataclasses
import io
import shutil

import numpy as np
import pytest
from rich.console import Console

from segattn import records, report
from segattn.report.comparison import page, tables, words
from segattn.report.shared import bootstrap, images
from tests.report import fabricate
from tests.report.study.test_page import Outline

RESAMPLES = 400


def compared(folder, a="ccnet", b="reconet"):
    return report.compare(report.select(f"{folder}:{a}"), report.select(f"{folder}:{b}"), resamples=RESAMPLES)


@pytest.fixture(scope="module")
def comparison(with_contribution):
    return compared(with_contribution)


def printed(comparison, width=80):
    stream = io.StringIO()
    Console(file=stream, width=width).print(report.TerminalComparison(comparison))
    return stream.getvalue()


def test_lines_are_the_recorded_scores_averaged_over_seeds(comparison):
    runs = comparison.a.runs
    total, *details = comparison.without.scores
    assert total.a.without == pytest.approx(np.mean([run.record.without_attention.mean_iou for run in runs]))
    assert total.a.having == pytest.approx(comparison.a.mean_iou)
    assert [line.name for line in details] == [line.name for line in comparison.details]
    assert [line.name for line in comparison.without.classes] == comparison.study.first.class_names
    pole = comparison.study.first.class_names.index("pole")
    expected = np.mean([run.record.without_attention.iou[pole] for run in runs])
    assert comparison.without.classes[pole].a.without == pytest.approx(expected)


def test_interval_is_over_images_with_the_seeds_as_they_are(comparison):
    """By a loop over seeds and resamples of single images."""
    rng = np.random.default_rng(0)
    n = len(comparison.a.images[0].names)
    draws = rng.integers(0, n, (2000, n))

    def mean_iou(top, bottom, rows):
        return (top[rows].sum(0) / bottom[rows].sum(0)).mean()

    differences = np.mean(
        [
            [
                mean_iou(run.without.top[0], run.without.bottom[0], rows)
                - mean_iou(run.right, run.labelled + run.predicted - run.right, rows)
                for rows in draws
            ]
            for run in comparison.a.images
        ],
        axis=0,
    )
    low, high = comparison.without.intervals[0]
    assert (low, high) == pytest.approx(np.percentile(differences, [2.5, 97.5]), abs=4e-4)
    assert low < comparison.without.scores[0].a.difference < high


def test_interval_of_several_seeds_is_not_that_of_the_seeds(with_contribution, tmp_path):
    """Seeds that differ by far more than images do not widen it."""
    folder = shutil.copytree(with_contribution, tmp_path / "study")
    for run in report.load(folder).runs:
        if run.record.head == "ccnet" and run.record.seed == 1:
            with np.load(run.folder / "per_image.npz") as stored:
                counts = dict(stored)
            for name in ("confusion", "confusion_without"):
                worse = counts[name]
                lost = worse.diagonal(axis1=1, axis2=2) // 2
                index = np.arange(worse.shape[1])
                worse[:, index, index] -= lost
                worse[:, index, (index + 1) % len(index)] += lost
            np.savez_compressed(run.folder / "per_image.npz", **counts)
    low, high = compared(folder).without.intervals[0]
    assert high - low < 0.01


def test_terminal_shows_both_networks_at_80_columns(comparison):
    text = printed(comparison)
    assert max(map(len, text.splitlines())) <= 80
    block = text.split("Without attention:")[1].split("Images on which")[0]
    for line in (*comparison.without.scores, *comparison.without.classes):
        cells = " ".join(f"{100 * pair.without:.2f} −{-100 * pair.difference:.2f}" for pair in (line.a, line.b))
        assert cells in " ".join(next(row for row in block.splitlines() if row.startswith(f"{line.name} ")).split())
    assert "replaced by its input; in reconet by the mean of each of its channels" in " ".join(block.split())


def test_network_without_a_mechanism_has_no_column_and_is_said_to_have_none(with_contribution):
    comparison = compared(with_contribution, "fcn", "ccnet")
    assert comparison.without.sides == ["b"]
    assert tables.without_headings(comparison.without) == ["B %", "change"]
    sentences = words.without_text(comparison)
    assert sentences[0] == "fcn has no mechanism."
    assert sentences[1].startswith("ccnet: mIoU ")
    assert "fcn has no mechanism." in " ".join(printed(comparison).split())


def test_network_that_was_not_scored_without_its_mechanism_is_told_apart(with_contribution, tmp_path):
    folder = shutil.copytree(with_contribution, tmp_path / "study")
    for run in report.load(folder).runs:
        if run.record.head == "danet":
            records.write(dataclasses.replace(run.record, without_attention=None), run.folder / "record.json")
    assert words.without_text(compared(folder, "ccnet", "danet"))[1] == "danet was not scored without its mechanism."


def test_records_without_these_scores_compare_as_before(ten_by_three):
    comparison = compared(ten_by_three)
    assert comparison.without is None
    for text in (printed(comparison), tables.markdown(comparison), tables.csv_text(comparison), page.page(comparison)):
        assert "without attention" not in text.lower()


def test_few_images_give_no_interval(with_contribution, tmp_path):
    folder = shutil.copytree(with_contribution, tmp_path / "study")
    for path in folder.rglob("per_image.npz"):
        with np.load(path) as stored:
            few = {name: values[: bootstrap.FEWEST_IMAGES - 1] for name, values in stored.items()}
        np.savez_compressed(path, **few)
    comparison = compared(folder)
    assert comparison.without.intervals == (None, None)
    assert "[" not in words.without_text(comparison)[0]


def test_markdown_csv_and_page_have_the_scores(comparison):
    total = comparison.without.scores[0]
    value, change = f"{100 * total.a.without:.2f}", f"−{-100 * total.a.difference:.2f}"
    assert f"| mIoU | {value} | {change} |" in tables.markdown(comparison)
    lines = {(line["kind"], line["name"]): line for line in csv.DictReader(io.StringIO(tables.csv_text(comparison)))}
    assert float(lines["score without attention", "mIoU"]["a"]) == total.a.without
    assert float(lines["class without attention", "road"]["b"]) == comparison.without.classes[0].b.without
    text = page.page(comparison)
    outline = Outline(text)
    assert "without" in outline.ids
    section = text.split('<section id="without">')[1].split("</section>")[0]
    assert f">{value}</td>" in section
    assert f">{change}</td>" in section


def test_counts_without_the_mechanism_are_read_and_checked(with_contribution, tmp_path):
    run = next(run for run in report.load(with_contribution).runs if run.record.head == "ccnet")
    read = run.images.without
    with np.load(run.folder / "per_image.npz") as stored:
        counts = dict(stored)
    cut = counts["confusion_without"]
    assert np.array_equal(read.top[0], cut.diagonal(axis1=1, axis2=2))
    assert np.array_equal(read.bottom[0], cut.sum(1) + cut.sum(2) - read.top[0])
    counts["confusion_without"] = cut[:, :3]
    np.savez_compressed(tmp_path / "per_image.npz", **counts)
    with pytest.raises(ValueError, match="confusion_without should be counts of shape"):
        images.read(tmp_path, "per_image.npz", len(fabricate.CLASSES))
