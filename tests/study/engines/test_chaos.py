"""Workers that are killed again and again, one after every second new checkpoint, change no record."""

import random

import pytest

from benchmarks import studies


@pytest.mark.long
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_records_do_not_change_when_workers_are_killed(engine, tmp_path, monkeypatch):
    if engine == "ray":
        pytest.importorskip("ray")
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    studies.run(tmp_path / "undisturbed", 6, 2, None, lambda event: None)
    states = []
    with studies.killing(tmp_path / "chaos", 3, random.Random(0)) as killed:
        studies.run(tmp_path / "chaos", 6, 2, studies.engine_of(engine, 2), lambda event: states.append(event.state))
    assert len(killed) == states.count("retried") == 3
    undisturbed = studies.results(tmp_path / "undisturbed")
    assert len(undisturbed) == 4
    assert studies.results(tmp_path / "chaos") == undisturbed
