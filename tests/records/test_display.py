import dataclasses

from segattn import records
from tests.report import fabricate


def test_run_is_a_short_table_with_escaped_texts(tmp_path):
    record = dataclasses.replace(fabricate.run("ccnet", 1, tmp_path), dataset="<b>roads")
    shown = record._repr_html_()
    assert f"{100 * record.scores.mean_iou:.2f} %" in shown
    assert "<b>" not in shown
    assert "&lt;b&gt;roads val, 53 images, 19 classes" in shown
    assert len(shown) < 1200


def test_study_names_its_heads(tmp_path):
    fabricate.study(tmp_path, heads=["fcn", "ccnet"], seeds=2)
    study = records.read(tmp_path / "study.json")
    assert "<tr><th>runs</th><td>4</td></tr>" in study._repr_html_()
    assert "ccnet" in study._repr_html_()
