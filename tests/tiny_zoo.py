"""A zoo of networks with random weights: fabricated runs of one trunk, packed by the maintainer's tool."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from docs.make import zoo as packing
from segattn import config, zoo
from segattn.data.splits import open_split
from segattn.evaluation.evaluate import evaluate
from segattn.model import SegmentationModel, build_model
from segattn.training import results
from tests import tiny

SCENES: dict[str, Any] = {"name": "streets", "size": [32, 64], "val_images": 3}
NETWORKS = (("fcn", "controlled"), ("ccnet", "controlled"), ("emanet", "controlled"), ("ccnet", "faithful"))
COMMANDS = {
    "command": "segattn train tiny --head {head} --mode {mode} --seed {seed}",
    "trunk_command": "segattn train tiny",
}


def experiment(head: str, mode: str, seed: int = 0) -> config.Experiment:
    """A run that read its scenes from a packed copy, as those of the zoo do."""
    data = config.Data(name="packed", root="runs/tiny-packed")
    return tiny.experiment(head, model={"mode": mode}, data=data, seed=seed)


@torch.no_grad()
def network(settings: config.Experiment, trunk: SegmentationModel | None = None) -> SegmentationModel:
    """Random weights whose predictions vary, exact in fp16; the backbone of `trunk`, where there is one."""
    torch.manual_seed(len(settings.model.head + settings.model.mode) + settings.seed)
    model = build_model(settings.model, 19).train()
    model(torch.randn(4, 3, 33, 41))  # moves the statistics of batch norms
    if trunk is not None:
        model.backbone.load_state_dict(trunk.backbone.state_dict())
    for name, value in model.named_parameters():
        if name.endswith("gamma"):
            value.fill_(0.5)
        if name.endswith("classify.conv.weight"):
            torch.nn.init.normal_(value)
        value.copy_(value.half().float())
    for value in model.buffers():
        if value.dim() > 1:  # EMANet's bases
            value.copy_(value.half().float())
    return model.eval()


def write_run(folder: Path, model: SegmentationModel, settings: config.Experiment) -> Path:
    """The folder of a finished run of this network, scored on the scenes of the zoo."""
    section = config.from_dict({**config.to_dict(settings), "data": SCENES}).data
    dataset = open_split(section, "val", section.val_images)
    result = evaluate(model, dataset, settings.evaluation)
    record = results.record_of(
        settings,
        dataset,
        result,
        [results.records.CurvePoint(iteration=5, loss=1.0, lr=0.1)],
        without=None,
        gates={},
        train_seconds=1.0,
        evaluate_seconds=1.0,
        device=torch.device("cpu"),
        precision="fp32",
        cost=None,  # type: ignore[arg-type]  # not read
    )
    results.write_network(folder, model, settings, dataset, check=lambda: None)
    results.write(
        folder, model, settings, dataset, result, record, autocast=nullcontext, check=lambda: None, without=None
    )
    return folder


def write_runs(folder: Path) -> list[Path]:
    """Finished runs of `NETWORKS`; the first is the trunk's."""
    trunk, folders = None, []
    for head, mode in NETWORKS:
        settings = experiment(head, mode)
        model = network(settings, trunk)
        trunk = trunk or model
        folders.append(write_run(folder / f"{head}-{mode}-s0", model, settings))
    return folders


def pack(runs: list[Path], root: Path, **changes: Any) -> Path:
    """The trunk `streets` of these runs, or of another name."""
    options: dict[str, Any] = {"name": "streets", "scenes": SCENES, "first": 2, **COMMANDS, **changes}
    return packing.pack(runs[0], runs[1:], root=root, say=lambda line: None, **options)


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The runs of `write_runs`."""
    return write_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def packed(tiny_runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a zoo with two trunks of the same runs, `streets` and `streets-local`; not to be written to."""
    root = tmp_path_factory.mktemp("zoo")
    pack(tiny_runs[:3], root)
    pack(tiny_runs, root, name="streets-local")
    return root


@pytest.fixture
def tiny_zoo(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The zoo of this installation is `packed`."""
    monkeypatch.setattr(zoo, "ROOT", packed)
    return packed
