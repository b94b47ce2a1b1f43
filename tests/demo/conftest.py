"""A study of tiny networks with random weights, saved as trained ones are, and an explorer of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segattn import checkpoint
from segattn.data import streets
from segattn.demo import networks
from segattn.demo.explorer import Explorer
from segattn.model import build_model
from tests import tiny

HEADS = ("ccnet", "danet", "denoised_nl", "emanet", "fcn", "flanet")
"""Maps on the grid, on half of it, of channels, of bases, and none."""


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    scenes = streets.load("val", height=32, width=32)
    for head in HEADS:
        torch.manual_seed(0)
        experiment = tiny.experiment(head)
        model = build_model(experiment.model, scenes.num_classes)
        checkpoint.save_model(
            model,
            folder / f"{head}-faithful-s0",
            experiment=experiment,
            class_names=list(scenes.class_names),
            palette=list(scenes.palette),
        )
    return folder


@pytest.fixture(scope="session")
def loaded(study: Path) -> list[networks.Network]:
    return [networks.load(head, study / f"{head}-faithful-s0", "cpu") for head in HEADS]


@pytest.fixture
def explorer(loaded: list[networks.Network]) -> Explorer:
    """With nothing remembered."""
    return Explorer(loaded)
