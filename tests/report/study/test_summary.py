"""The reader's summary is short, and true for one seed and for many."""

import dataclasses
import re

import pytest

from segattn import records, report
from segattn.report.study import summary, tables
from tests.report import fabricate


def said(study):
    sentences = summary.summary(study)
    assert len(sentences) <= 5
    assert all(sentence.endswith(".") for sentence in sentences)
    return sentences


def test_ten_networks_of_three_seeds(ten_by_three):
    study = report.load(ten_by_three)
    compared, best, unclear, cost, hardest = said(study)
    assert compared == "10 networks were compared on streets val (53 images, 19 classes), with 3 seeds each."
    low, high = (f"{100 * end:.2f}" for end in study.rows[0].interval)
    assert f"78.79 % mIoU (95 % interval over 3 seeds: {low} to {high}), 5.06 points above the fcn baseline." in best
    assert unclear.startswith(f"{len(study.verdict.unclear)} of the 9 others are not distinguishable from it")
    equal = [study.rows[0], *(row for row in study.rows if row.label in study.verdict.unclear)]
    cheapest = min(equal, key=lambda row: study.cost(row).network.flops)
    assert f", {cheapest.label} costs least: " in cost
    averages = {name: sum(row.iou[i] for row in study.rows) / 10 for i, (name, *_) in enumerate(fabricate.CLASSES)}
    lowest = sorted(averages, key=averages.get)[:3]
    assert hardest.startswith(f"The hardest classes are {lowest[0]} ({100 * averages[lowest[0]]:.1f} %), {lowest[1]} (")


def test_one_seed_says_so_and_its_interval_is_over_images(tmp_path):
    study = report.load(fabricate.study(tmp_path, ["fcn", "ccnet", "danet"], seeds=1))
    sentences = said(study)
    assert sentences[0].endswith("with one seed each, so seed-to-seed variation is unknown.")
    low, high = map(float, re.search(r"over the choice of images: ([\d.]+) to ([\d.]+)\)", sentences[1]).groups())
    assert low < 100 * study.rows[0].mean_iou < high
    assert "too few images" in sentences[2] or "choices of images" in sentences[2]


def test_one_network_is_not_compared(tmp_path):
    fabricate.run("ccnet", 0, tmp_path)
    sentences = said(report.load(tmp_path))
    assert sentences[0].startswith("ccnet was scored on streets val")
    assert sentences[1].startswith("It reaches ")
    assert len(sentences) == 3
    assert "networks" not in " ".join(sentences)


def test_without_counts_of_images_nothing_is_said_of_equal_accuracy(tmp_path):
    for index, head in enumerate(("fcn", "ccnet")):
        fabricate.run(head, 0, tmp_path / str(index), per_image=None)
    text = " ".join(said(report.load(tmp_path)))
    assert "The records allow no test" in text
    assert "interval" not in text
    assert "costs" not in text


def test_a_tie_and_different_numbers_of_seeds_are_named(tmp_path):
    for index, (head, seed) in enumerate((("ccnet", 0), ("ccnet", 1), ("danet", 0))):
        folder = tmp_path / str(index)
        record = fabricate.run(head, seed, folder, per_image=None)
        scores = dataclasses.replace(record.scores, mean_iou=0.5)
        records.write(dataclasses.replace(record, scores=scores), folder / "record.json")
    sentences = said(report.load(tmp_path))
    assert "with 1 to 2 seeds, so seed-to-seed variation is unknown for some." in sentences[0]
    assert sentences[1].startswith("ccnet has the highest accuracy (as danet): 50.00 % mIoU")


def test_networks_of_equal_cost_share_the_last_place(tmp_path):
    for index, head in enumerate(("ccnet", "danet")):
        fabricate.run(head, 0, tmp_path / str(index), cost=fabricate.cost("ccnet", (97, 193), "resnet18"))
    study = report.load(tmp_path)
    if study.verdict.unclear:
        assert f"None of them costs less than {study.rows[0].label}" in " ".join(said(study))
    else:
        assert "no network costs less" in " ".join(said(study))


def test_a_class_that_no_network_has_scores_for_is_not_hard(tmp_path):
    record = fabricate.run("ccnet", 0, tmp_path)
    scores = dataclasses.replace(record.scores, iou=[None if i == 17 else v for i, v in enumerate(record.scores.iou)])
    records.write(dataclasses.replace(record, scores=scores), tmp_path / "record.json")
    assert "motorcycle" not in said(report.load(tmp_path))[-1]


@pytest.mark.slow
def test_it_stands_first_in_the_page_and_in_markdown(built, ten_by_three):
    study = report.load(ten_by_three)
    text = " ".join(said(study))
    page = built["report.html"].read_text(encoding="utf-8")
    assert 0 < page.index(text) < page.index("<h2>")
    assert tables.markdown(study).split("\n\n")[1].replace("\\", "") == text
