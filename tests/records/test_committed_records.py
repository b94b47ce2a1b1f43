"""Records under benchmarks/results are what they say, and their pages can be made."""

import pytest

from segattn import records
from segattn.records import BenchRecord
from segattn.report.bench import tables
from tests.places import ROOT

RESULTS = ROOT / "benchmarks" / "results"
BENCHES = sorted(RESULTS.glob("*--*--*.json"))


@pytest.mark.parametrize("path", BENCHES or [None], ids=lambda path: "none yet" if path is None else path.name)
def test_committed_record_is_of_the_schema(path):
    if path is None:
        pytest.skip("no record is committed yet; benchmarks/README.md says how to make one")
    record = records.read(path)
    assert isinstance(record, BenchRecord)
    assert path.stem.rsplit("--", 1)[1] == ("cpu" if record.environment.device == "cpu" else "cuda")
    assert any(result.outcome == "ok" for result in record.results)
    assert tables.markdown(record)
