"""The records under docs/records/probes hold what their scenes prove."""

import pytest

from docs.make import probes

RECORDS = probes.records()


@pytest.mark.parametrize("task", ["compare", "conjunction", "noise", "reach", "thin"])
def test_a_network_without_a_mechanism_is_at_chance_wherever_it_cannot_see(task):
    record = RECORDS[task]
    far = [condition for condition in record.conditions if condition.far]
    assert far
    assert all(condition.pixels > record.sees for condition in far)
    runs = [run for run in record.runs if run.variant == "fcn"]
    assert runs
    for run in runs:
        for condition in far:
            if record.measure == "accuracy":
                assert run.scores[condition.name] == 0.5
            else:
                assert run.scores[condition.name] <= 1 / 3


@pytest.mark.parametrize("task", RECORDS)
def test_the_networks_without_attention_are_in_every_record(task):
    assert {"fcn", "psp", "aspp"} <= {run.variant for run in RECORDS[task].runs}


def test_one_recurrence_is_blind_off_the_cross_and_attention_over_a_set_is_blind_to_place():
    for run in RECORDS["reach"].runs:
        if run.variant == "ccnet R=1":
            far = [each.name for each in RECORDS["reach"].conditions if each.far and each.series == "diagonal"]
            assert {run.scores[name] for name in far} == {0.5}
    for run in RECORDS["conjunction"].runs:
        if run.variant in ("non_local", "danet"):
            # exchanging two places leaves a sum over all of them as it is, but for the noise on the pixels there
            assert max(abs(score - 0.5) for score in run.scores.values()) < 0.03
