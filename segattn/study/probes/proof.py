"""The proof before the first run: a network without a mechanism does not see what decides a query's class."""

from __future__ import annotations

from typing import Any

from segattn.config import Experiment
from segattn.data import probes
from segattn.data.splits import load_split
from segattn.records.probes import ProbeCondition
from segattn.training.field import sees


def prove(run: Experiment) -> tuple[int, list[ProbeCondition]]:
    """Pixels that a network without a mechanism sees to each side, and the task's conditions with their distances.

    Raises:
        ValueError: such a network sees what decides the class in a scene of a far condition, so that the probe shows nothing.
    """
    field_of_view, task = sees(run.model), run.data.options["task"]
    nearest: dict[str, int] = {}
    for split, limit in ((run.data.train_split, run.data.train_images), (run.data.val_split, run.data.val_images)):
        dataset = load_split(run.data, split, limit)
        reader: Any = dataset.reader
        for index in range(0, len(dataset), 2):
            name, gap = probes.condition_of(dataset.image_name(index)), reader.layout(index).gap
            nearest[name] = min(gap, nearest.get(name, gap))
    conditions = []
    for condition in probes.conditions(task):
        pixels = nearest.get(condition.name, 0)
        if condition.far and pixels <= field_of_view:
            raise ValueError(
                f"probe {task}: in {condition.name} what decides is {pixels} pixels away, and a network without a mechanism sees "
                f"{field_of_view} pixels ({run.model.backbone}); choose a backbone with a smaller field, such as patches"
            )
        value = float(condition.name.rpartition("-")[2])
        conditions.append(
            ProbeCondition(
                name=condition.name,
                series=condition.series,
                value=value,
                pixels=pixels,
                far=pixels > field_of_view,
            )
        )
    return field_of_view, conditions
