"""Damaged checkpoints, states and logs: a run resumes to exactly what was written, or an error names the file."""

import json
import random
import shutil
import signal
from collections import Counter
from functools import partial

import pytest
import torch

from segattn.data.splits import open_data
from segattn.model import build_model
from segattn.records import integrity
from segattn.training import execution, folder, resume
from segattn.training.averaging import WeightAverage
from segattn.training.interruption import Interrupted
from segattn.training.optimization import optimizer_of
from segattn.training.train import train
from tests import tiny
from tests.trust import mutations
from tests.trust.conftest import change
from tests.trust.outcomes import judged, tell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]  # hundreds of cases, each with a limit of its own

CASES = {"sample": 20, "whole": 240}
EXPERIMENT = tiny.experiment(
    "emanet",
    model={"backbone_options": {"width": 4}, "auxiliary_weight": 0.0},
    data={"train_images": 3, "val_images": 1},
    optimization={"ema_decay": 0.9},
    evaluation={"examples": 0},
    validate_every=2,
)
PARTS = ("model", "optimizer", "random")


ACCELERATOR = execution.accelerator("fp32", "cpu")


def opened_at(run, opened):
    """What a run would resume from: iteration, weights, momentum and averages, random state, log."""
    folder.refuse_another(run, EXPERIMENT)
    model = build_model(EXPERIMENT.network, 19, seed=1)
    average = WeightAverage(model, EXPERIMENT.optimization.ema_decay)
    state = resume.State(model, optimizer_of(model, EXPERIMENT.optimization), None, average)
    log = folder.open_log(run, EXPERIMENT, opened, state, ACCELERATOR, lambda notice: None)
    log.close()
    tensors = {**model.state_dict(), **{f"moving.{name}": value for name, value in state.moving.items()}}
    tensors["random"] = resume.random_state()["cpu"]
    return log.start, tensors, log.points


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """The folder of an interrupted run with two checkpoints, its data, and what it resumes from at each."""
    root = tmp_path_factory.mktemp("genuine")

    def interrupt(progress):
        if progress.stage == "train" and progress.done == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(EXPERIMENT, root / "run", device="cpu", on_progress=interrupt)
    opened = open_data(EXPERIMENT.data)
    right = {}
    for iteration in (3, 2):
        shutil.copytree(root / "run", root / "copy")
        if iteration == 2:
            shutil.rmtree(root / "copy/checkpoints/iteration-00000003")
        right[iteration] = opened_at(root / "copy", opened)
        shutil.rmtree(root / "copy")
    assert [right[iteration][0] for iteration in (2, 3)] == [2, 3]
    return root / "run", opened, right


def run_cases(genuine, count, damage, tmp_path, seed):
    run, opened, right = genuine

    def is_right(result):
        start, tensors, points = result
        if start not in right:
            return False
        _, expected, curve = right[start]
        same = tensors.keys() == expected.keys() and all(torch.equal(v, expected[name]) for name, v in tensors.items())
        return same and points == curve

    outcomes = Counter()
    for case in range(count):
        rng = random.Random(f"{seed} {case}")
        copied = tmp_path / "run"
        what = mutations.in_copy(run, copied, lambda folder, rng=rng: damage(folder, rng))
        outcomes[judged(f"case {case}: {what}", partial(opened_at, copied, opened), is_right, str(tmp_path))] += 1
    assert outcomes.total() == count
    return outcomes


def checkpoints(run):
    return sorted((run / "checkpoints").iterdir())


def damage_parts(run, rng):
    """One or both checkpoints: a part of each, or its name."""
    done = []
    for saved in checkpoints(run) if rng.random() < 0.5 else [rng.choice(checkpoints(run))]:
        if rng.random() < 0.1:
            name = rng.choice(["iteration-00000001", "iteration-00000099", "iteration-x", "iteration-"])
            saved.rename(saved.with_name(name))
            done.append(f"{saved.name} renamed to {name}")
            continue
        files = sorted(run.glob("checkpoints/*/*"))
        path = saved / f"{rng.choice(PARTS)}.safetensors"
        others = [other for other in files if other != path and other.is_file()]
        if path.is_file():
            done.append(f"{saved.name}/{mutations.file_of(path, others, rng)}")
    return "; ".join(done)


def damage_states(run, rng):
    """The state of one or both checkpoints, half of the time with a digest of its own that is right; or the log."""
    if rng.random() < 0.3:
        return damage_log(run, rng)
    done = []
    for saved in checkpoints(run) if rng.random() < 0.5 else checkpoints(run)[-1:]:
        path = saved / "state.json"
        what, content = mutations.json_of(json.loads(path.read_text()), rng)
        if rng.random() < 0.5:
            what, content = f"{what}, with its digest", with_digest(content)
        path.write_bytes(content)
        done.append(f"{saved.name}/state.json: {what}")
    return "; ".join(done)


def with_digest(content):
    """The state with the digest that belongs to it, as somebody who changes it on purpose would write it."""
    try:
        state = json.loads(content)
        rest = {name: value for name, value in state.items() if name != "sha256"}
        return json.dumps({**rest, "sha256": integrity.sha256_of(rest)}).encode()
    except (ValueError, AttributeError, RecursionError):
        return content


def damage_log(run, rng):
    path = run / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    kind = rng.choice(["bytes", "bytes", "shuffle", "drop", "double", "line"])
    if kind == "bytes":
        what, content = mutations.bytes_of(b"".join(lines), rng)
        path.write_bytes(content)
        return f"log: {what}"
    at = rng.randrange(len(lines))
    if kind == "shuffle":
        rng.shuffle(lines)
    elif kind == "drop":
        del lines[at]
    elif kind == "double":
        lines.insert(at, lines[at])
    else:
        lines[at] = mutations.json_of(json.loads(lines[at]), rng)[1] + b"\n"
    path.write_bytes(b"".join(lines))
    return f"log: {kind} {at}"


@pytest.mark.long("sample")
@pytest.mark.parametrize("amount", CASES)
def test_damaged_parts_of_checkpoints(genuine, amount, tmp_path, record_property):
    outcomes = run_cases(genuine, CASES[amount], damage_parts, tmp_path, "parts")
    assert min(outcomes["right"], outcomes["named error"]) > 0
    tell(record_property, "checkpoints", outcomes)


@pytest.mark.long("sample")
@pytest.mark.parametrize("amount", CASES)
def test_damaged_states_and_logs(genuine, amount, tmp_path, record_property):
    outcomes = run_cases(genuine, CASES[amount], damage_states, tmp_path, "states")
    assert min(outcomes["right"], outcomes["named error"]) > 0
    tell(record_property, "states", outcomes)


def as_version_0_1_0(run):
    """The run as that version wrote it: without digests, and without what the run began with."""
    change(run / "experiment.json", lambda raw: raw.pop("run"))
    for saved in checkpoints(run):
        without_digests(saved)


def without_digests(saved):
    (saved / "state.json").write_text(json.dumps({"iteration": int(saved.name.removeprefix("iteration-"))}))


def damage_old(run, rng):
    """Everything but a changed number in a tensor is seen."""
    as_version_0_1_0(run)
    done = [damage_file(saved, rng) for saved in checkpoints(run) if rng.random() < 0.7]
    return "; ".join(done) or "nothing"


def damage_file(saved, rng):
    """Damage that shows without a digest."""
    path = saved / rng.choice(["state.json", *(f"{part}.safetensors" for part in PARTS)])
    kind = rng.choice(["remove", "empty", "cut", "swap", "json"])
    if kind == "swap":
        other = path.with_name(rng.choice([f"{part}.safetensors" for part in PARTS if part != path.stem]))
        path.write_bytes(other.read_bytes())
    elif kind == "json":
        path.write_bytes(mutations.json_of({"iteration": 3}, rng)[1])
    elif kind == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size) if kind == "cut" else 0])
    return f"{saved.name}/{path.name}: {kind}"


@pytest.mark.long("sample")
@pytest.mark.parametrize("amount", CASES)
def test_damaged_checkpoints_of_version_0_1_0(genuine, amount, tmp_path, record_property):
    outcomes = run_cases(genuine, CASES[amount], damage_old, tmp_path, "old")
    assert min(outcomes["right"], outcomes["named error"]) > 0
    tell(record_property, "checkpoints of version 0.1.0", outcomes)


# A checkpoint that has lost its digests --------------------------------------------------------------------------------------
@pytest.fixture
def run(genuine, tmp_path):
    return shutil.copytree(genuine[0], tmp_path / "run")


def test_checkpoint_that_lost_its_digests_is_passed_over(genuine, run):
    without_digests(run / "checkpoints/iteration-00000003")
    start, tensors, points = opened_at(run, genuine[1])
    expected = genuine[2][2]
    assert (start, points) == (2, expected[2])
    assert all(torch.equal(value, expected[1][name]) for name, value in tensors.items())


def test_run_whose_checkpoints_lost_their_digests_is_refused(genuine, run):
    for saved in checkpoints(run):
        without_digests(saved)
    with pytest.raises(
        ValueError, match=r"the checkpoint of iteration 3 has a state\.json without digests.* 1 before it"
    ):
        opened_at(run, genuine[1])


def test_run_of_version_0_1_0_resumes_from_what_that_version_wrote_only(genuine, run):
    as_version_0_1_0(run)
    shutil.rmtree(run / "checkpoints/iteration-00000003")
    for _ in range(2):  # as often as it is resumed
        assert opened_at(run, genuine[1])[0] == 2
    shutil.copytree(run / "checkpoints/iteration-00000002", run / "checkpoints/iteration-00000003")
    without_digests(run / "checkpoints/iteration-00000003")
    assert opened_at(run, genuine[1])[0] == 2


@pytest.mark.parametrize("file", ["experiment.json", "log.jsonl"])
def test_what_is_said_of_the_run_cannot_change_by_accident(genuine, run, file):
    def alter(raw):
        raw["run"]["without_digests"] = 3

    if file == "experiment.json":
        change(run / file, alter)
        with pytest.raises(ValueError, match=r"experiment\.json: run was changed since it was written"):
            opened_at(run, genuine[1])
        return
    shutil.rmtree(run / "checkpoints/iteration-00000003")
    lines = [json.loads(line) for line in (run / file).read_text().splitlines()]
    lines[1]["mean_iou"] += 0.001  # measured after the checkpoint was written
    (run / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"log\.jsonl"):
        opened_at(run, genuine[1])


@pytest.mark.parametrize("earlier", [5, [1], [{"until": 1}], {}, None], ids=str)
def test_earlier_settings_that_are_none_are_refused_although_the_digest_is_right(genuine, run, earlier):
    for saved in checkpoints(run):
        path = saved / "state.json"
        change(path, lambda raw: raw["facts"].update(earlier=earlier))
        path.write_bytes(with_digest(path.read_bytes()))
    with pytest.raises(ValueError, match="the checkpoint of iteration 3 names no settings of before"):
        opened_at(run, genuine[1])
