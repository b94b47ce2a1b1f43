import json

import msgspec
import pytest

from segattn import records
from segattn.records.probes import ProbeRecord, read_probe
from tests.report.probes.fabricated import record


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = records.write(record(), tmp_path / "reach.json")
    assert read_probe(path) == record()


def test_missing_runs_are_named():
    assert record().missing == ["ccnet R=1, seed 1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "run"}, "not the record of a probe"),
        ({"schema": 99}, "record schema 99, this version reads 1; run the probe again"),
        ({"runs": []}, "has no finished run; run the probe again"),
        ({"chance": "half"}, r"Expected `float`, got `str` - at `\$.chance`"),
    ],
)
def test_what_is_no_record_is_refused(change, message, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({**msgspec.to_builtins(record()), **change}))
    with pytest.raises(ValueError, match=message):
        read_probe(tmp_path / "a.json")


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json: not readable as a record"):
        read_probe(tmp_path / "none.json")
    assert ProbeRecord.__dataclass_fields__["kind"].default == "probe"
