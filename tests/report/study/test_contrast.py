"""One row against another: which test, paired or not, and why not."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from segattn import records, report
from segattn.report.comparison.compare import compare, select
from segattn.report.comparison.words import notes
from segattn.report.shared import images, student
from segattn.report.study import contrast
from tests.report import fabricate
from tests.report.shared.test_twoway import mean_iou_by_loop, mean_squares_by_loop, pseudo_values_by_loop
from tests.report.study.test_words import study_of


def runs(folder, head, seeds, **changes):
    for seed in seeds:
        fabricate.run(head, seed, folder / f"{head}{seed}", images=0, with_cost=False, **changes)


def rows(folder):
    return {row.head: row for row in report.load(folder).rows}


def compared(folder, a="ccnet", b="fcn"):
    by_head = rows(folder)
    return contrast.contrast(by_head[a], by_head[b])


def without_counts(folder):
    for path in folder.glob("*/per_image.npz"):
        path.unlink()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    runs(folder, "ccnet", range(3))
    runs(folder, "fcn", range(3))
    return folder


def test_the_same_seeds_are_compared_over_images_and_seeds(three):
    result = compared(three)
    assert (result.test, result.unpaired) == ("two-way", "")
    a, b = (images.counts(rows(three)[head].images) for head in ("ccnet", "fcn"))
    seeds, of_images, rest = mean_squares_by_loop(pseudo_values_by_loop(a, b))
    n = a.num_images
    assert result.spread.between_seeds == pytest.approx(seeds / n)
    assert result.spread.between_images == pytest.approx(max(0, of_images - rest) / (3 * n))
    value = np.mean([mean_iou_by_loop(a, s, range(n)) - mean_iou_by_loop(b, s, range(n)) for s in range(3)])
    assert result.difference.value == pytest.approx(value)


def test_the_order_of_the_runs_makes_no_difference(three):
    a, b = (rows(three)[head] for head in ("ccnet", "fcn"))
    turned = dataclasses.replace(b, runs=[b.runs[2], b.runs[0], b.runs[1]])
    assert contrast.contrast(a, turned).difference == contrast.contrast(a, b).difference


def test_a_missing_seed_is_named_and_leaves_the_rows_unpaired(tmp_path):
    runs(tmp_path, "ccnet", range(3))
    runs(tmp_path, "fcn", range(2))
    result = compared(tmp_path)
    assert (result.test, result.unpaired, result.spread) == ("seeds", "fcn has no seed 2", None)
    by_head = rows(tmp_path)
    assert result.difference == student.difference(by_head["ccnet"].values, by_head["fcn"].values)


def test_seeds_missing_on_both_sides_are_named(tmp_path):
    runs(tmp_path, "ccnet", [0, 1, 2])
    runs(tmp_path, "fcn", [2, 5, 6])
    assert compared(tmp_path).unpaired == "fcn has no seeds 0 and 1; ccnet has no seeds 5 and 6"


def test_other_samples_are_not_paired_and_other_learning_rates_are(tmp_path):
    record = fabricate.run("ccnet", 0, tmp_path / "x" / "template", images=0)
    changes = {
        "augmentation": ("augmentation", "crop_size", [65, 65]),
        "optimization": ("optimization", "lr", 0.5),
        "rare": ("optimization", "rare_class_sampling", 0.01),
        "later": ("optimization", "rare_class_sampling", 0.0),  # of a version that has the option, and does not use it
        "options": ("data", "options", {"ignore": 0}),
    }
    for name, (section, key, value) in changes.items():
        folder = tmp_path / name
        config = {**record.config, section: {**record.config.get(section, {}), key: value}}
        runs(folder, "ccnet", range(2))
        runs(folder, "fcn", range(2), config=config)
    assert compared(tmp_path / "augmentation").unpaired == (
        "ccnet and fcn were trained on different samples: augmentation.crop_size"
    )
    assert compared(tmp_path / "optimization").test == "two-way"
    assert compared(tmp_path / "rare").unpaired.endswith("different samples: optimization.rare_class_sampling")
    assert compared(tmp_path / "later").test == "two-way"
    assert "data.options.ignore" in compared(tmp_path / "options").unpaired


def test_one_seed_of_other_samples_is_told_everywhere(tmp_path):
    record = fabricate.run("ccnet", 0, tmp_path / "x" / "template")
    folder = tmp_path / "study"
    runs(folder, "ccnet", [0])
    optimization = {**record.config["optimization"], "iterations": 9}
    runs(folder, "fcn", [0], config={**record.config, "optimization": optimization})
    words = "ccnet and fcn were trained on different samples: optimization.iterations"
    assert (compared(folder).test, compared(folder).unpaired) == ("images", words)
    study = report.load(folder)
    out = io.StringIO()
    Console(file=out, width=300).print(report.terminal_table(study))
    report.build(folder, tmp_path / "report")
    for text in (out.getvalue(), (tmp_path / "report/report.md").read_text()):
        assert f"Not paired by seed: {words}." in text
        assert "The runs differ in settings: optimization.iterations." in text
    pair = compare(*(select(str(folder), head) for head in ("ccnet", "fcn")))
    assert f"Not the same training: {words}." in notes(pair)


def test_the_same_data_in_another_folder_are_the_same_samples(tmp_path):
    record = fabricate.run("ccnet", 0, tmp_path / "x" / "template", images=0)
    folder = tmp_path / "study"
    runs(folder, "ccnet", range(2), config={**record.config, "data": {"name": "streets", "root": "/a"}})
    runs(folder, "fcn", range(2), config={**record.config, "data": {"name": "streets", "root": "/b"}})
    assert compared(folder).unpaired == ""


def test_without_counts_of_images_the_pairs_are_tested_over_seeds(tmp_path):
    runs(tmp_path, "ccnet", range(3))
    runs(tmp_path, "fcn", range(3))
    without_counts(tmp_path)
    result = compared(tmp_path)
    by_head = rows(tmp_path)
    assert result.test == "paired"
    assert result.difference == student.paired(by_head["ccnet"].values, by_head["fcn"].values)
    assert result.spread.num_images is None


def test_counts_of_another_evaluation_are_not_used(tmp_path):
    study = study_of(tmp_path, ccnet=[0.40, 0.46, 0.43], fcn=[0.39, 0.44, 0.43])  # the counts give other scores
    result = study.contrasts["ccnet"]
    assert result.test == "paired"
    assert result.difference.value == pytest.approx(0.01)


def test_one_seed_has_a_p_value_over_images_and_no_interval(tmp_path):
    runs(tmp_path, "ccnet", [0])
    runs(tmp_path, "fcn", [0])
    result = compared(tmp_path)
    assert (result.test, result.unpaired, result.difference.low) == ("images", "", None)
    assert result.difference.p < 0.05
    without_counts(tmp_path)
    assert compared(tmp_path).difference.p is None


def test_one_seed_against_three_says_which_are_missing(tmp_path):
    runs(tmp_path, "ccnet", range(3))
    runs(tmp_path, "fcn", [0])
    result = compared(tmp_path)
    assert (result.test, result.unpaired) == ("images", "fcn has no seeds 1 and 2")


def test_pairing_finds_a_gain_that_seeds_hide(tmp_path):
    paired = study_of(tmp_path / "paired", ccnet=[0.411, 0.461, 0.442], fcn=[0.40, 0.45, 0.43])
    assert paired.baseline_verdict.unclear == []
    seeds = study_of(tmp_path / "apart", ccnet=[0.411, 0.461, 0.442], fcn=[0.40, 0.45, 0.43])
    for path in (tmp_path / "apart").glob("fcn*/record.json"):
        record = records.read(path)
        records.write(dataclasses.replace(record, seed=record.seed + 7), path)
    apart = report.load(tmp_path / "apart")
    assert apart.contrasts["ccnet"].difference.value == pytest.approx(seeds.contrasts["ccnet"].difference.value)
    assert apart.baseline_verdict.unclear == ["ccnet"]
