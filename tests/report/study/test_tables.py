"""Markdown, CSV and LaTeX of the main table."""

import csv
import io
import re
import shutil
import subprocess

import pytest

from segattn import report
from segattn.report.study import tables
from tests.report import fabricate


@pytest.fixture
def study(ten_by_three):
    return report.load(ten_by_three)


def lines_of(text):
    return {line["head"]: line for line in csv.DictReader(io.StringIO(text))}


def test_csv_has_every_network_and_every_digit(study):
    lines = lines_of(tables.csv_text(study))
    assert set(lines) == set(fabricate.HEADS)
    values = [run.record.scores.mean_iou for run in study.runs if run.record.head == "ccnet"]
    assert float(lines["ccnet"]["mean_iou"]) == sum(values) / 3
    assert int(lines["ccnet"]["769x769_mechanism_flops"]) == 16_600_000_000
    assert int(lines["ccnet"]["520x520_mechanism_macs"]) == round(16.6e9 / 2 * (520 / 769) ** 2)
    assert lines["fcn"]["delta_fcn"] == ""


def test_csv_of_one_seed_has_no_spread(tmp_path):
    lines = lines_of(
        tables.csv_text(report.load(fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=1, with_cost=False)))
    )
    assert lines["ccnet"]["mean_iou_std"] == lines["ccnet"]["delta_fcn_low95"] == ""
    assert float(lines["ccnet"]["delta_fcn"]) > 0
    assert not any("flops" in name for name in lines["ccnet"])


def test_csv_does_not_start_a_cell_like_a_formula(tmp_path):
    fabricate.run("=cmd()", 0, tmp_path / "a", images=0)
    assert list(lines_of(tables.csv_text(report.load(tmp_path)))) == ["'=cmd()"]


def test_markdown_has_one_line_a_network_of_equal_width(study):
    main, _ = tables.markdown(study).split("## Boundaries")
    lines = [line for line in main.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(fabricate.HEADS)
    assert len({line.count("|") for line in lines}) == 1
    assert lines[-1].startswith("| fcn | 73.73 ± 0.11 | 3 | – | 94.86 | 0.000 | 0.664 | 3.879 | 5.9 |")
    assert lines[-1].endswith(" | 0.00 | 174.9 | 1,021.0 | 49.5 |")
    assert "Network GFLOPs (2 per MAC), resnet18 at 97×193" in lines[0]
    assert lines[0].endswith(" | Reference network resnet101 at 769×769: parameters M |")


def test_markdown_escapes_names(tmp_path):
    fabricate.run("a|b<i>*", 0, tmp_path / "a", images=0)
    assert r"| a\|b&lt;i&gt;\* |" in tables.markdown(report.load(tmp_path))


def test_latex_escapes_names_and_balances_braces(tmp_path):
    fabricate.run(r"50%_of\{the}~$1&#^<x>", 0, tmp_path / "a", images=0)
    text = tables.latex(report.load(tmp_path))
    assert (
        r"50\%\_of\textbackslash{}\{the\}\textasciitilde{}\$1\&\#\textasciicircum{}\textless{}x\textgreater{}" in text
    )
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def test_latex_lines_have_as_many_cells_as_columns(study):
    text = tables.latex(study)
    (columns,) = re.findall(r"\\begin{tabular}{(l r*)}".replace(" ", ""), text)
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == len(fabricate.HEADS)
    assert {len(re.split(r"(?<!\\)&", line)) for line in body} == {len(columns)}
    assert body[0].startswith(r"denoised\_nl & \textbf{78.79} $\pm$ 0.25 & 3 & +5.06")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs")
def test_latex_compiles(study, tmp_path):
    body = tables.latex(study)
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    subprocess.run(["pdflatex", "-interaction=batchmode", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True)


def test_the_latex_caption_has_at_most_forty_words_and_the_rest_are_comments(study, tmp_path):
    text = tables.latex(study)
    words = re.search(r"\\caption{(.*)}", text).group(1).split()
    assert 20 < len(words) <= 40
    assert "Holm-corrected" in " ".join(words)
    comments = [line for line in text.splitlines() if line.startswith("% ")]
    assert any("TP / (TP + FP + FN)" in line for line in comments)
    fabricate.run("fcn", 0, tmp_path, experiment=" ".join(["name"] * 70))
    assert len(re.search(r"\\caption{(.*)}", tables.latex(report.load(tmp_path))).group(1).split()) == 40
