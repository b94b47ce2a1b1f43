"""Published rows stand beside ours where the data set is theirs, and nowhere else."""

import pytest

from segattn import report
from segattn.report.study import published
from tests.report import fabricate

pytestmark = pytest.mark.slow


def study_on(folder, dataset, heads=("fcn", "emanet", "flanet"), split="val"):
    for head in heads:
        fabricate.run(head, 0, folder / head, images=0, dataset=dataset, split=split)
    return report.load(folder)


@pytest.mark.parametrize("dataset", ["streets", "camvid", "folder"])
def test_other_data_sets_have_none(tmp_path, dataset):
    assert published.rows(study_on(tmp_path, dataset)) == []


def test_the_test_split_has_none(tmp_path):
    assert published.rows(study_on(tmp_path, "cityscapes", split="test")) == []


def test_cityscapes_has_those_of_the_heads_at_hand(tmp_path):
    rows = published.rows(study_on(tmp_path, "cityscapes"))
    assert {row.head for row in rows} == {"fcn", "emanet"}  # neither zoo has FLANet
    assert {row.source for row in rows} == {"mmsegmentation", "PaddleSeg"}
    # mmsegmentation, configs/emanet/README.md: R-101-D8, 769x769, 80k: 79.62 / 81.00
    (row,) = [
        row
        for row in rows
        if (row.head, row.backbone, row.crop, row.iterations) == ("emanet", "R-101-D8", "769×769", 80_000)
    ]
    assert (row.mean_iou, row.mean_iou_multi_scale) == (pytest.approx(0.7962), pytest.approx(0.81))


def test_the_page_sets_them_apart(tmp_path):
    study_on(tmp_path, "cityscapes")
    page = report.build(tmp_path, tmp_path / "out")["report.html"].read_text(encoding="utf-8")
    aside = page[page.index("<aside") : page.index("</aside>")]
    assert "References, not rows of this comparison" in aside
    assert "79.62" in aside
    assert "79.62" not in page.replace(aside, "")
