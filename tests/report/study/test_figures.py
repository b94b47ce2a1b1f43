"""What is drawn, and that nothing in a record breaks it."""

import dataclasses
import io
import xml.etree.ElementTree

import pytest
from PIL import Image

from segattn import records, report
from segattn.records import CurvePoint
from segattn.report.study import figures
from tests.report import fabricate

pytestmark = pytest.mark.slow


def test_front_is_what_nothing_beats_for_less():
    points = [(5.0, 7.0), (2.0, 3.0), (3.0, 3.0), (7.0, 7.0), (4.0, 2.0), (1.0, 1.0)]
    assert figures.pareto(points) == [5, 1, 0]


def test_every_figure_is_a_png_and_well_formed_svg(built):
    names = {path.stem for name, path in built.items() if name.startswith("figures/")}
    assert names == {
        "accuracy_network_trained", "accuracy_mechanism_trained", "accuracy_network_reference",
        "accuracy_mechanism_reference", "loss", "validation", "classes",
    }  # fmt: skip
    for name in names:
        assert Image.open(io.BytesIO(built[f"figures/{name}.png"].read_bytes())).width > 600
        xml.etree.ElementTree.fromstring(built[f"figures/{name}.svg"].read_text())


def test_the_baseline_without_a_mechanism_is_a_line_with_its_name(built):
    assert "fcn (no mechanism)" in built["figures/accuracy_mechanism_reference.svg"].read_text()


def test_one_run_without_cost_curve_or_class_is_drawn(tmp_path):
    record = fabricate.run("ccnet", 0, tmp_path, with_cost=False, curve=[])
    scores = dataclasses.replace(record.scores, iou=[None, *record.scores.iou[1:]])
    records.write(dataclasses.replace(record, scores=scores), tmp_path / "record.json")
    assert [figure.name for figure in figures.draw(report.load(tmp_path))] == ["classes"]


def test_a_name_that_looks_like_mathematics_is_drawn_as_it_is(tmp_path):
    fabricate.run(r"$\frac{1$", 0, tmp_path / "a")
    fabricate.run("fcn", 0, tmp_path / "b")
    drawn = figures.draw(report.load(tmp_path))
    assert all(r"$\frac{1$" in figure.svg for figure in drawn)


def test_training_loss_is_that_of_the_main_output(tmp_path):
    points = [CurvePoint(iteration=i, loss=9.0, lr=0.1, losses={"out": 0.5, "aux": 8.0}) for i in (10, 20)]
    fabricate.run("danet", 0, tmp_path / "a", curve=points)
    fabricate.run("fcn", 0, tmp_path / "b", curve=[CurvePoint(iteration=i, loss=0.6, lr=0.1) for i in (10, 20)])
    study = report.load(tmp_path)
    curves = {row.head: figures._series(row, figures._loss_of_output) for row in study.rows}
    assert curves == {"danet": [[(10, 0.5), (20, 0.5)]], "fcn": [[(10, 0.6), (20, 0.6)]]}
    (loss,) = [figure for figure in figures.draw(study) if figure.name == "loss"]
    assert loss.title == "Training loss of the main output"


def test_the_same_records_give_the_same_bytes(tmp_path):
    fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=1)
    first, second = (figures.draw(report.load(tmp_path)) for _ in range(2))
    assert first == second
