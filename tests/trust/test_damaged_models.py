"""Damaged weights and configurations of networks, and .pth files: the same weights, or an error that names the file."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from segattn import checkpoint, config
from segattn.backbones import pretrained
from segattn.cli.arguments import load_experiment
from segattn.convert import mmseg_file
from segattn.convert.mmseg import to_mmseg
from segattn.model import build_model
from tests import tiny
from tests.trust import mutations
from tests.trust.outcomes import judged, tell

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Initializing zero-element"),
]

CASES = {"sample": 20, "whole": 240}
NAMES, PALETTE = ["road", "sky", "tree"], [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
EXPERIMENT = tiny.experiment("ccnet", model={"backbone_options": {"width": 4}, "auxiliary_weight": 0.0})


def same(state, expected):
    return state.keys() == expected.keys() and all(torch.equal(v, expected[name]) for name, v in state.items())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a network and its weights."""
    torch.manual_seed(0)
    model = build_model(EXPERIMENT.model, 3).eval()
    folder = tmp_path_factory.mktemp("saved") / "run"
    checkpoint.save_model(model, folder, experiment=EXPERIMENT, class_names=NAMES, palette=PALETTE)
    return folder, model.state_dict()


@pytest.mark.long("sample")
@pytest.mark.parametrize("amount", CASES)
def test_damaged_weights(saved, amount, tmp_path, record_property):
    folder, expected = saved
    outcomes = Counter()
    for case in range(CASES[amount]):
        rng, run = random.Random(f"weights {case}"), tmp_path / "run"
        what = mutations.in_copy(
            folder, run, lambda to, rng=rng: mutations.file_of(to / "model.safetensors", [to / "config.json"], rng)
        )

        def call(run=run):
            return checkpoint.load_model(run).state_dict()

        outcomes[judged(f"case {case}: {what}", call, lambda state: same(state, expected), str(run))] += 1
    assert outcomes["right"] == 0  # a damaged file never loads
    tell(record_property, "weights", outcomes)


@pytest.mark.long("sample")
@pytest.mark.parametrize("amount", CASES)
def test_damaged_configurations_of_networks(saved, amount, tmp_path, record_property):
    folder, expected = saved
    raw = json.loads((folder / "config.json").read_text())
    outcomes = Counter()
    for case in range(CASES[amount]):
        rng, run = random.Random(f"configuration {case}"), tmp_path / "run"

        def damage(to, rng=rng):
            what, content = mutations.json_of(raw, rng)
            (to / "config.json").write_bytes(content)
            return what

        what = mutations.in_copy(folder, run, damage)

        def call(run=run):
            return checkpoint.load_model(run).state_dict()

        outcomes[judged(f"case {case}: {what}", call, lambda state: same(state, expected), str(run))] += 1
    assert min(outcomes["right"], outcomes["named error"]) > 0
    tell(record_property, "configurations", outcomes)


@pytest.mark.long("sample")
@pytest.mark.parametrize("amount", CASES)
def test_damaged_experiments(amount, tmp_path, record_property):
    """What is read is written again as it was read: no number has become null, no field another."""
    raw = config.to_dict(EXPERIMENT)
    outcomes = Counter()
    for case in range(CASES[amount]):
        what, content = mutations.json_of(raw, random.Random(f"experiment {case}"))
        (tmp_path / "experiment.json").write_bytes(content)

        def call():
            return load_experiment(str(tmp_path / "experiment.json"))

        def is_right(experiment):
            return config.from_dict(json.loads(json.dumps(config.to_dict(experiment)))) == experiment

        outcomes[judged(f"case {case}: {what}", call, is_right, "experiment.json")] += 1
    assert min(outcomes["right"], outcomes["named error"]) > 0
    tell(record_property, "experiments", outcomes)


@pytest.fixture(scope="module")
def archives(saved, tmp_path_factory):
    """A checkpoint of mmsegmentation and a backbone as .pth files, with their tensors."""
    folder, state = saved
    root = tmp_path_factory.mktemp("archives")
    mmseg_file.export_file(folder, root / "mmseg.pth")
    backbone = {name.removeprefix("backbone."): v for name, v in state.items() if name.startswith("backbone.")}
    torch.save(backbone, root / "backbone.pth")
    theirs = to_mmseg(state, "ccnet")
    return {root / "mmseg.pth": theirs, root / "backbone.pth": backbone}


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    if path.name == "mmseg.pth":
        return dict(mmseg_file.read(path).state)
    return dict(pretrained.read(path).backbone)


@pytest.mark.long("sample")
@pytest.mark.parametrize("amount", CASES)
def test_damaged_pth_files(archives, amount, tmp_path, record_property):
    outcomes = Counter()
    for case in range(CASES[amount]):
        rng = random.Random(f"pth {case}")
        source = rng.choice(list(archives))
        path = tmp_path / source.name
        what, content = mutations.bytes_of(source.read_bytes(), rng)
        path.write_bytes(content)
        expected = archives[source]

        def call(path=path):
            return tensors_of(path)

        def is_right(state, expected=expected):
            return same(state, expected)

        outcomes[judged(f"case {case}: {path.name}: {what}", call, is_right, str(path))] += 1
    assert outcomes["named error"] > 0
    tell(record_property, ".pth files", outcomes)
