"""Two networks compared: from folders to pages."""

import csv
import dataclasses
import io
import shutil
import subprocess

import numpy as np
import pytest
from rich.console import Console

from segattn import records, report
from segattn.report.comparison import tables, words
from segattn.report.study.words import percent
from tests.report import fabricate
from tests.report.study.test_page import Outline


@pytest.fixture(scope="session")
def one_seed(tmp_path_factory):
    return fabricate.study(tmp_path_factory.mktemp("pair"), ["fcn", "ccnet", "flanet"], seeds=1)


def compared(folder, a, b, **options):
    return report.compare(*(report.select(f"{folder}:{head}") for head in (a, b)), **options)


@pytest.fixture(scope="session")
def pair(one_seed):
    return compared(one_seed, "flanet", "fcn", resamples=2000)


def test_the_difference_is_that_of_the_records(pair):
    assert pair.total.a == pytest.approx(pair.a.mean_iou)
    assert pair.total.difference.value == pytest.approx(pair.a.mean_iou - pair.b.mean_iou)
    assert [line.a for line in pair.classes] == pytest.approx(pair.a.iou)
    recorded = pair.a.runs[0].record.strata
    assert [line.a for line in pair.details] == pytest.approx(
        [recorded.boundary_mean_iou, *(s.mean_iou for s in (*recorded.sizes, *recorded.widths))]
    )


def test_a_large_difference_is_told(pair):
    low, high = pair.total.difference.low, pair.total.difference.high
    assert 0 < low < pair.total.difference.value < high
    text = " ".join(words.finding(pair))
    assert text.startswith(
        f"flanet is above fcn on streets val (53 images): +{percent(pair.total.difference.value)} mIoU ["
    )
    assert "the same network trained with another seed may differ by more" in " ".join(words.notes(pair)).lower()


def test_p_values_of_classes_are_corrected_for_their_number(pair):
    alone = sorted(line.difference.p for line in pair.classes)
    assert min(line.p for line in pair.classes) == pytest.approx(19 * alone[0])
    assert pair.total.p == pair.total.difference.p


def test_the_same_predictions_differ_by_nothing(tmp_path):
    for name in ("a", "b"):
        fabricate.run("ccnet", 0, tmp_path / name)
    pair = report.compare(report.select(str(tmp_path / "a")), report.select(str(tmp_path / "b")))
    total = pair.total.difference
    assert (total.value, total.low, total.high, total.p) == (0, 0, 0, 1)
    assert {tables.mark(line) for line in pair.classes} == {"≈"}
    assert "are not distinguishable on streets val" in words.finding(pair)[0]
    assert pair.a.label != pair.b.label


def test_seeds_are_part_of_the_noise(ten_by_three):
    three = compared(ten_by_three, "ccnet", "reconet", resamples=2000)
    assert three.a.n == three.b.n == 3
    assert three.total.difference.value == pytest.approx(three.a.mean_iou - three.b.mean_iou)
    assert "3 of ccnet, 3 of reconet" in " ".join(words.notes(three))


def test_the_same_seeds_are_paired_as_in_the_report(ten_by_three):
    three = compared(ten_by_three, "ccnet", "fcn")
    in_report = report.load(ten_by_three).contrasts["ccnet"].difference
    total = three.total.difference
    assert (total.value, total.low, total.high, total.p) == pytest.approx(dataclasses.astuple(in_report))
    assert three.unpaired is None
    notes = " ".join(words.notes(three))
    assert "paired t over images and seeds (3 of ccnet, 3 of fcn), both networks paired by image and by seed" in notes
    assert "bootstrap" not in notes


def test_classes_and_strata_are_paired_too(ten_by_three):
    three = compared(ten_by_three, "ccnet", "fcn")
    for line in (*three.classes, *three.details):
        difference = line.difference
        assert difference.high - difference.value == pytest.approx(difference.value - difference.low)  # a t interval
        assert difference.value == pytest.approx(line.a - line.b)


def test_other_seeds_are_not_paired_and_the_missing_ones_are_named(tmp_path):
    for head, seeds in (("ccnet", (0, 1, 2)), ("reconet", (1, 2, 3))):
        for seed in seeds:
            fabricate.run(head, seed, tmp_path / f"{head}{seed}", images=0)
    pair = compared(tmp_path, "ccnet", "reconet", resamples=500)
    assert pair.unpaired == "reconet has no seed 0; ccnet has no seed 3"
    for text in (tables.markdown(pair), tables.latex(pair), " ".join(words.notes(pair))):
        assert "Not paired by seed (reconet has no seed 0; ccnet has no seed 3)" in text
    assert "paired bootstrap over images and seeds (3 of ccnet, 3 of reconet)" in " ".join(words.notes(pair))


def test_two_paired_seeds_are_called_too_few(tmp_path):
    folder = fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=2)
    assert "With two seeds, 95 % intervals" in " ".join(words.notes(compared(folder, "ccnet", "fcn")))


def test_one_seed_each_is_a_bootstrap_over_images(pair):
    assert pair.unpaired == "one seed each"
    assert "Not paired" not in " ".join(words.notes(pair))


def test_images_come_in_order_of_difference(pair):
    sizes = [abs(line.a - line.b) for line in pair.images]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 53


def test_markdown_csv_and_latex_have_every_class(pair):
    lines = list(csv.DictReader(io.StringIO(tables.csv_text(pair))))
    assert float(lines[0]["difference"]) == pair.total.difference.value
    for name, *_ in fabricate.CLASSES:
        assert f"| {name} |" in tables.markdown(pair)
        assert f"\n{name} & " in tables.latex(pair)
        assert [line["kind"] for line in lines if line["name"] == name] == ["class"]
    widths = {line.count("|") for line in tables.markdown(pair).splitlines() if line.startswith("|")}
    assert widths == {9, 5}


@pytest.mark.parametrize(("width", "encoding"), [(80, "utf-8"), (80, "ascii"), (140, "utf-8")])
def test_the_terminal_shows_it_whole(pair, width, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=width).print(report.TerminalComparison(pair))
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding).replace("|", " ")  # the rules of an ASCII table
    assert words.headline(pair) in text
    assert max(map(len, text.splitlines())) <= width
    (line,) = [line for line in text.splitlines() if line.startswith("motorcycle ") and line.split()[1].isdigit()]
    assert len(line.split()) >= 7


def test_the_page_is_whole_and_alone(pair, tmp_path):
    written = report.build_comparison(pair, tmp_path)
    assert set(written) == {"compare.html", "compare.md", "compare.csv", "compare.tex"}
    outline = Outline(written["compare.html"].read_text(encoding="utf-8"))
    assert len(outline.ids) == len(set(outline.ids))
    assert all(address.startswith(("#", "data:")) for address in outline.addresses)
    shown = " ".join(outline.words)
    for text in (words.headline(pair), "Images on which they differ most", "Efron and Tibshirani", "street_0"):
        assert text in shown


def test_a_class_of_few_images_gets_no_interval(tmp_path):
    for seed, head in enumerate(("ccnet", "fcn")):
        fabricate.run(head, seed, tmp_path / head)
        path = tmp_path / head / "per_image.npz"
        with np.load(path) as arrays:
            counts = dict(arrays)
        counts["confusion"][9:, 16] = 0
        np.savez(path, **counts)
    train = compared(tmp_path, "ccnet", "fcn", resamples=200).classes[16]
    assert (train.num_images, train.p, tables.mark(train)) == (9, None, "few")
    assert tables.cells(train)[4] == "–"


def test_runs_of_other_data_are_refused(one_seed, tmp_path):
    fabricate.run("danet", 0, tmp_path / "other", dataset="camvid")
    with pytest.raises(ValueError, match="different data sets"):
        report.compare(report.select(f"{one_seed}:fcn"), report.select(str(tmp_path / "other")))
    fabricate.run("danet", 0, tmp_path / "split", split="test")
    with pytest.raises(ValueError, match="different splits"):
        report.compare(report.select(f"{one_seed}:fcn"), report.select(str(tmp_path / "split")))


def test_a_network_is_not_compared_with_itself(one_seed):
    with pytest.raises(ValueError, match="not compared with itself"):
        compared(one_seed, "fcn", "fcn")


def test_a_run_without_counts_says_what_to_do(one_seed, tmp_path):
    record = fabricate.run("danet", 0, tmp_path)
    records.write(dataclasses.replace(record, per_image=None), tmp_path / "record.json")
    with pytest.raises(ValueError, match="run it again"):
        report.compare(report.select(str(tmp_path)), report.select(f"{one_seed}:fcn"))


def test_names_that_fit_nothing_or_too_much(one_seed):
    with pytest.raises(ValueError, match="has no finished run of 'resnet'; it has ccnet, fcn, flanet"):
        report.select(f"{one_seed}:resnet")
    with pytest.raises(ValueError, match="several networks; name one"):
        report.select(str(one_seed))
    assert report.select(str(one_seed), "ccnet-faithful").rows[0].head == "ccnet"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles(pair, tmp_path):
    body = tables.latex(pair)
    source = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + body + "\\end{document}\n"
    (tmp_path / "t.tex").write_text(source, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
