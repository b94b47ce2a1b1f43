"""The smallest experiment that goes through everything, shared by the tests of training, studies and commands."""

from __future__ import annotations

import dataclasses
from typing import Any

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization

TINY = Experiment(
    name="tiny",
    data=Data(size=(32, 64), train_images=5, val_images=3),
    augmentation=Augmentation(crop_size=(32, 48)),
    model=Model(backbone="resnet18", align_corners=False, head_options={"channels": 8}, backbone_options={"width": 8}),
    optimization=Optimization(iterations=5, batch_size=2, lr=0.05, precision="fp32"),
    evaluation=Evaluation(examples=2),
    validate_every=2,
    checkpoint_every=2,
    log_every=1,
)


def experiment(head: str = "fcn", **changes: Any) -> Experiment:
    """`TINY` with a head, whole fields (`seed=3`) or fields of a section (`optimization={"lr": 1.0}`) changed."""
    changes["model"] = {"head": head, **changes.get("model", {})}
    sections = {
        name: dataclasses.replace(getattr(TINY, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(TINY, **sections)


def old_experiment(head: str) -> Experiment:
    """The experiment of `tests/golden/version_0_1_0`, small enough to keep its files."""
    small = {"backbone_options": {"width": 4}, "auxiliary_weight": 0.0}
    return experiment(head, model=small, data={"train_images": 5, "val_images": 2}, evaluation={"examples": 1})
