"""Records into rows: aggregation against hand computation, and what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from segattn import records, report
from segattn.report.study import rows, tables
from tests.report import fabricate


def scores_of(mean_iou, iou, confusion):
    matrix = np.array(confusion)
    return dataclasses.replace(fabricate.scores(matrix), mean_iou=mean_iou, iou=iou)


def two_class_run(folder, head, seed, mean_iou, iou, confusion=((3, 1), (2, 4))):
    return fabricate.run(
        head, seed, folder, images=0, class_names=["road", "pole"], palette=[(1, 2, 3), (4, 5, 6)],
        scores=scores_of(mean_iou, iou, confusion), cost=None,
    )  # fmt: skip


@pytest.fixture
def small(tmp_path):
    two_class_run(tmp_path / "a0", "fcn", 0, 0.50, [0.6, None], [[5, 0], [0, 0]])
    two_class_run(tmp_path / "a1", "fcn", 1, 0.54, [0.8, 0.2])
    two_class_run(tmp_path / "b0", "ccnet", 0, 0.61, [0.7, 0.5])
    two_class_run(tmp_path / "b1", "ccnet", 1, 0.59, [0.7, 0.4])
    return report.load(tmp_path)


def test_rows_gather_seeds_and_stand_in_falling_order(small):
    assert [(row.head, row.n) for row in small.rows] == [("ccnet", 2), ("fcn", 2)]
    ccnet, fcn = small.rows
    assert ccnet.mean_iou == pytest.approx(0.60)
    assert fcn.mean_iou == pytest.approx(0.52)
    assert fcn.deviation == pytest.approx(0.04 / 2**0.5)  # |difference| / sqrt(2) for two values
    assert small.delta(ccnet).value == pytest.approx(0.08)
    assert small.delta(fcn) is None


def test_class_iou_is_the_mean_over_the_seeds_that_have_it(small):
    ccnet, fcn = small.rows
    assert fcn.iou == [pytest.approx(0.7), pytest.approx(0.2)]
    assert ccnet.iou == [pytest.approx(0.7), pytest.approx(0.45)]


def test_confusion_is_summed_over_seeds(small):
    assert small.rows[1].confusion == [[8, 1], [2, 4]]


def test_study_file_run_folder_and_record_file_are_the_same_run(tmp_path):
    folder = fabricate.study(tmp_path, ["fcn"], seeds=1)
    run = next(folder.glob("*/record.json"))
    study = report.load([folder, folder / "study.json", run.parent, run])
    assert [row.n for row in study.rows] == [1]
    assert len(study.studies) == 1


def test_cost_is_of_the_network_as_trained_and_that_of_the_reference_network_stands_apart(tmp_path):
    folder = fabricate.study(tmp_path, ["ccnet"], seeds=1)
    study = report.load(folder)
    assert study.sizes == [(769, 769), (520, 520)]
    (row,) = study.rows
    assert (study.cost(row).backbone, study.cost(row).input_size) == ("resnet18", (97, 193))
    assert (study.reference_cost(row).backbone, study.reference_cost(row).input_size) == ("resnet101", (769, 769))
    (folder / "study.json").unlink()
    study = report.load(folder)
    assert study.cost(study.rows[0]).input_size == (97, 193)
    assert study.reference_cost(study.rows[0]) is None


def test_a_network_trained_as_the_reference_has_one_group_of_costs(tmp_path):
    folder = fabricate.study(tmp_path, ["ccnet"], seeds=1)
    path = next(folder.glob("*/record.json"))
    records.write(dataclasses.replace(records.read(path), cost=fabricate.cost("ccnet", (769, 769))), path)
    study = report.load(folder)
    assert study.cost(study.rows[0]).input_size == (769, 769)
    assert study.reference_cost(study.rows[0]) is None


def test_without_the_cost_of_the_trained_network_the_columns_say_that_they_are_of_the_reference(tmp_path):
    folder = fabricate.study(tmp_path, ["ccnet"], seeds=1)
    path = next(folder.glob("*/record.json"))
    records.write(dataclasses.replace(records.read(path), cost=None), path)
    study = report.load(folder)
    assert study.cost(study.rows[0]).input_size == (769, 769)
    assert "Cost of one image in the reference network, not of those trained here: resnet101" in tables.markdown(study)


def test_modes_are_told_apart_and_each_has_its_baseline(tmp_path):
    for index, (head, mode) in enumerate([("fcn", "faithful"), ("fcn", "controlled"), ("ccnet", "controlled")]):
        fabricate.run(head, 0, tmp_path / str(index), mode=mode)
    study = report.load(tmp_path)
    assert {row.label for row in study.rows} == {"fcn (faithful)", "fcn (controlled)", "ccnet (controlled)"}
    ccnet = next(row for row in study.rows if row.head == "ccnet")
    assert study.baseline(ccnet).mode == "controlled"


def test_no_paths_are_refused():
    with pytest.raises(ValueError, match="name at least one"):
        report.load([])


def test_a_folder_without_records_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: no records found"):
        report.load(tmp_path)


def test_a_study_without_a_finished_run_is_refused(tmp_path):
    fabricate.study(tmp_path, [], seeds=1)
    with pytest.raises(ValueError, match="no finished run"):
        report.load(tmp_path)


def test_different_data_sets_are_refused_with_both_names(tmp_path):
    fabricate.run("fcn", 0, tmp_path / "a", dataset="camvid")
    fabricate.run("ccnet", 0, tmp_path / "b")
    with pytest.raises(ValueError, match=r"different data sets.*'camvid'.*'streets'"):
        report.load(tmp_path)


def test_different_splits_and_classes_are_refused(tmp_path):
    fabricate.run("fcn", 0, tmp_path / "a")
    fabricate.run("ccnet", 0, tmp_path / "b", split="test")
    with pytest.raises(ValueError, match="different splits"):
        report.load(tmp_path)
    two_class_run(tmp_path / "b", "ccnet", 0, 0.5, [0.5, 0.5])
    with pytest.raises(ValueError, match="different classes"):
        report.load(tmp_path)


def test_the_same_seed_twice_is_refused_with_both_folders(tmp_path):
    fabricate.run("fcn", 3, tmp_path / "a")
    fabricate.run("fcn", 3, tmp_path / "b")
    with pytest.raises(ValueError, match=r"seed 3 more than once: .*a, .*b"):
        report.load(tmp_path)


def test_a_run_that_is_gone_is_named_with_what_to_do(tmp_path):
    folder = fabricate.study(tmp_path / "study", ["fcn", "ccnet"], seeds=1)
    gone = json.loads((folder / "study.json").read_text())["runs"][1]
    shutil.rmtree((folder / gone).parent)
    with pytest.raises(
        ValueError, match=rf"names the run '{gone}', which is not there; .*study collect .*study` lists"
    ):
        report.load(folder)


def test_runs_of_probes_are_told_where_their_tables_are(tmp_path):
    for name in ("a", "b"):
        fabricate.run("fcn", 0, tmp_path / name, dataset="probes")
    with pytest.raises(ValueError, match="those that `segattn study probes` writes"):
        report.load(tmp_path)


def test_scores_of_another_number_of_classes_are_refused(tmp_path):
    fabricate.run("fcn", 0, tmp_path / "a", class_names=["road"], palette=[(0, 0, 0)])
    with pytest.raises(ValueError, match="another number of classes"):
        report.load(tmp_path)


def test_an_older_record_is_refused(tmp_path):
    fabricate.run("fcn", 0, tmp_path)
    raw = json.loads((tmp_path / "record.json").read_text())
    records.write_bytes(json.dumps(raw | {"schema": 0}).encode(), tmp_path / "record.json")
    with pytest.raises(ValueError, match="schema 0"):
        report.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "hard"), [("pole", True), ("Column_Pole", True), ("Train", True), ("business", False)]
)
def test_hard_classes_are_known_by_their_words(name, hard):
    assert rows.is_hard(name) is hard


def test_hidden_folder_is_no_run(tmp_path):
    two_class_run(tmp_path / "a0", "fcn", 0, 0.50, [0.6, 0.4])
    two_class_run(tmp_path / ".ipynb_checkpoints", "fcn", 0, 0.50, [0.6, 0.4])
    assert [run.folder.name for row in report.load(tmp_path).rows for run in row.runs] == ["a0"]


def test_another_order_of_classes_is_refused_with_both_lists(tmp_path):
    two_class_run(tmp_path / "a0", "fcn", 0, 0.50, [0.6, 0.4])
    fabricate.run(
        "ccnet", 0, tmp_path / "b0", images=0, class_names=["pole", "road"], palette=[(1, 2, 3), (4, 5, 6)],
        scores=scores_of(0.5, [0.6, 0.4], [[3, 1], [2, 4]]), cost=None,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"different classes in one comparison: .*\(road, pole\).*\(pole, road\)"):
        report.load(tmp_path)
