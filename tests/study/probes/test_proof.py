from dataclasses import replace

import pytest

from segattn import experiments
from segattn.data.probes import layout
from segattn.study.probes.plan import PROBES, Plan
from segattn.study.probes.proof import prove

BASE = experiments.load("probe")


def first_run(task, **model):
    base = replace(BASE, model=replace(BASE.model, **model), data=replace(BASE.data, train_images=120, val_images=48))
    return next(iter(Plan(base=base, tasks=(task,)).runs().values()))


@pytest.mark.parametrize("task", PROBES)
def test_a_network_without_a_mechanism_sees_nothing_that_decides_in_far_conditions(task):
    field, conditions = prove(first_run(task))
    assert field == 35
    assert [condition.name for condition in conditions if condition.far] == [
        condition.name for condition in layout.TASKS[task][1] if condition.far
    ]
    assert all(condition.pixels > 35 for condition in conditions if condition.far)


def test_near_conditions_of_reach_are_told_with_their_distance():
    _, conditions = prove(first_run("reach"))
    assert {each.name: each.pixels for each in conditions if not each.far} == {
        "straight-3": 9, "straight-5": 25, "diagonal-3": 9, "diagonal-5": 25
    }  # fmt: skip
    assert (conditions[2].series, conditions[2].value) == ("straight", 7.0)


def test_a_backbone_that_sees_what_decides_is_refused():
    with pytest.raises(
        ValueError,
        match=r"probe compare: in ratio-1\.25 what decides is \d+ pixels away, and .* sees \d+ pixels \(resnet18\)",
    ):
        prove(first_run("compare", backbone="resnet18", backbone_options={"width": 2, "receptive_field": 55}))
