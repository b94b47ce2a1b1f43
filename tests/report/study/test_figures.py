"""What is drawn, and that nothing in a record breaks it."""

import dataclasses
import io
import re
import xml.etree.ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from segattn import records, report
from segattn.records import CurvePoint
from segattn.report.study import curves, figures
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


@pytest.mark.parametrize(
    ("points", "side", "edge"),
    [
        ([], "right", "bottom"),
        ([(0.95, 0.05)], "right", "top"),
        ([(0.95, 0.05), (0.95, -0.05)], "left", "bottom"),
        ([(0.95, 0.05), (0.95, -0.05), (0.05, 0.05)], "left", "top"),
    ],
)
def test_the_name_of_a_line_covers_no_point(points, side, edge):
    canvas = FigureCanvasAgg(Figure(figsize=(4, 3)))
    axes = canvas.figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(-1, 1))
    text = axes.text(1, 0, "fcn (no mechanism)", ha="right", va="bottom")
    places = [axes.transData.transform(point) for point in points]
    box = figures._settled(text, [(x - 4, y - 4, x + 4, y + 4) for x, y in places], canvas.get_renderer())
    assert (text.get_ha(), text.get_va()) == (side, edge)
    assert box == pytest.approx(tuple(text.get_window_extent().extents))


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
    series = {row.head: curves._series(row, curves._loss_of_output) for row in study.rows}
    assert series == {"danet": [[(10, 0.5), (20, 0.5)]], "fcn": [[(10, 0.6), (20, 0.6)]]}
    (loss,) = [figure for figure in figures.draw(study) if figure.name == "loss"]
    assert loss.title == "Training loss of the main output"


def test_the_same_records_give_the_same_bytes(tmp_path):
    fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=1)
    first, second = (figures.draw(report.load(tmp_path)) for _ in range(2))
    assert first == second


def test_every_point_and_line_says_its_value(built, ten_by_three):
    svg = built["figures/accuracy_mechanism_trained.svg"].read_text()
    said = re.findall(r'<g class="value">\s*<title>([^<]+)</title>', svg)
    study = report.load(ten_by_three)
    assert len(said) == len(study.rows)
    assert sum(words.startswith("fcn: 73.73 ± ") and words.endswith("; no mechanism") for words in said) == 1
    row, cost = study.rows[0], study.cost(study.rows[0])
    start, end = f"{row.label}: 78.79 ± ", f" to the baseline; {cost.mechanism.flops / 1e9:,.4g} GFLOPs"
    assert sum(words.startswith(start) and words.endswith(end) for words in said) == 1


def test_panels_of_curves_carry_their_values(built, ten_by_three):
    svg = built["figures/loss.svg"].read_text()
    panels = re.findall(r'<g class="value" data-curve="([^"]+)">\s*<title>([^<]+)</title>', svg)
    rows = report.load(ten_by_three).rows
    assert [name for _, name in panels] == [row.label for row in rows]
    limits, series = panels[0][0].split("|")
    low, high = map(float, limits.split())
    assert low < 10 < 400 < high
    seeds = dict(part.split(":") for part in series.split(";"))
    assert list(seeds) == ["seed 0", "seed 1", "seed 2"]
    curve = rows[0].runs[1].record.curve
    numbers = [*map(float, seeds["seed 1"].split())]
    assert numbers[::2] == [point.iteration for point in curve]
    assert numbers[1::2] == pytest.approx([point.loss for point in curve], rel=1e-3)


def test_a_hostile_name_stays_the_text_of_a_title(tmp_path):
    name = "a|b\"'<script>&\n;:"
    fabricate.run(name, 0, tmp_path / "a")
    fabricate.run("fcn", 0, tmp_path / "b")
    for figure in figures.draw(report.load(tmp_path)):
        root = xml.etree.ElementTree.fromstring(figure.svg)
        titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
        if figure.name != "classes":
            assert any(title.startswith("a|b”'<script>& ;:") for title in titles), figure.name
        assert "say|" not in figure.svg
        assert 'id="curves|' not in figure.svg
