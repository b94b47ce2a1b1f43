import dataclasses
import json
import os

import pytest

from segattn import records
from segattn.records import Cost, CurvePoint, Environment, Example, PartCost, RunRecord, Scores, StudyRecord

ENVIRONMENT = Environment(
    segattn="0.1.0", commit=None, python="3.11", torch="2.13", system="Linux", processor="two cores",
    device="cpu", threads=2, precision="fp32",
)  # fmt: skip
PART = PartCost(parameters=3, macs=5, flops=10, study=11, other=7, activation_bytes=28)
COST = Cost(
    head="ccnet", mode="faithful", backbone="resnet101", output_stride=8, num_classes=2, input_size=(769, 520),
    mechanism=PART, head_total=PART, network=PART,
)  # fmt: skip
SCORES = Scores(
    mean_iou=1 / 3, pixel_accuracy=0.1, mean_accuracy=0.7, iou=[1 / 3, None], accuracy=[0.7, None],
    confusion=[[2**40, 1], [0, 0]], num_images=3, definition="in words", inference="whole image",
)  # fmt: skip
RUN = RunRecord(
    experiment="tiny", head="ccnet", mode="faithful", seed=0, dataset="streets", split="val", class_names=["á", "b"],
    palette=[(1, 2, 3), (4, 5, 6)], ignore_index=255, config={"size": [32, 64], "options": {"channels": 8}},
    scores=SCORES, curve=[CurvePoint(iteration=1, loss=0.1, lr=1e-2, losses={"out": 0.1}, mean_iou=None)],
    iterations=1, train_seconds=1.5, evaluate_seconds=0.5, environment=ENVIRONMENT,
    examples=[Example(name="x", image="i.png", label=None, prediction="p.png")], cost=COST,
)  # fmt: skip
STUDY = StudyRecord(
    experiment="tiny", command="segattn study", runs=["a/record.json"], costs=[COST], environment=ENVIRONMENT
)


@pytest.mark.parametrize("record", [RUN, STUDY], ids=["run", "study"])
def test_record_survives_its_file_exactly(record, tmp_path):
    path = records.write(record, tmp_path / "deep" / "record.json")
    assert records.read(path) == record


def test_record_is_json_that_other_programs_read(tmp_path):
    raw = json.loads(records.write(RUN, tmp_path / "record.json").read_text())
    assert raw["scores"]["iou"] == [1 / 3, None]
    assert (raw["kind"], raw["schema"], raw["palette"]) == ("run", 1, [[1, 2, 3], [4, 5, 6]])


def changed(tmp_path, change):
    path = records.write(RUN, tmp_path / "record.json")
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["scores"].pop("mean_iou"), "missing required field `mean_iou` - at `\\$.scores`"),
        (lambda raw: raw.update(seed="zero"), r"Expected `int`, got `str` - at `\$\.seed`"),
        (lambda raw: raw["palette"].append([1, 2]), "palette"),
        (lambda raw: raw.update(schema=2), "record schema 2, this version reads 1"),
        (lambda raw: raw.pop("schema"), "record schema None"),
        (lambda raw: raw.update(kind="race"), "not a segattn record .*run, study"),
    ],
)
def test_record_of_another_form_is_refused_with_file_and_field(change, message, tmp_path):
    with pytest.raises(ValueError, match=rf"record\.json: .*{message}"):
        records.read(changed(tmp_path, change))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not a JSON record"),
        (b"", "not a JSON record"),
        (b"\xff\xfe", "not a JSON record"),
        (b"[1]", "not a segattn record"),
    ],
)
def test_file_that_is_no_record_is_named(content, message, tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"record\.json: {message}"):
        records.read(path)


def test_missing_record_and_folder_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.json: no such record"):
        records.read(tmp_path / "gone.json")
    with pytest.raises(ValueError, match="not readable as a record"):
        records.read(tmp_path)


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = records.write_bytes(b"old", tmp_path / "record.json")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        records.write_bytes(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_file_can_be_read_by_others(tmp_path):
    path = records.write_bytes(b"x", tmp_path / "record.json")
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_number_that_json_has_no_form_for_is_not_written(bad, tmp_path):
    record = dataclasses.replace(RUN, curve=[CurvePoint(iteration=1, loss=bad, lr=0.1)])
    with pytest.raises(ValueError, match=rf"record\.json: the record is not written, because curve\.0\.loss is {bad}"):
        records.write(record, tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []
