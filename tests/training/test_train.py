import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from segattn import checkpoint, records
from segattn.config import to_dict
from segattn.training import snapshots
from segattn.training.interruption import Interrupted
from segattn.training.train import open_data, train
from tests import tiny

pytestmark = pytest.mark.slow

HEADS = ("fcn", "danet", "emanet")  # the baseline; several outputs; a buffer that training moves


def interrupt_at(iteration, number=signal.SIGINT):
    """A progress callback that raises a signal within a training iteration."""

    def on_progress(progress):
        if progress.stage == "train" and progress.done == iteration:
            signal.raise_signal(number)

    return on_progress


def log_without_seconds(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module", params=HEADS)
def uninterrupted(request, tmp_path_factory):
    """Folder of a whole run, its record, and the momentum before its last evaluation."""
    run = tmp_path_factory.mktemp(request.param)
    kept = {}

    def keep_last_snapshot(progress):
        if progress.stage == "evaluate" and not kept and (run / "checkpoints/iteration-00000005").exists():
            kept.update(snapshots.latest_snapshot(run).optimizer)

    record = train(tiny.experiment(request.param), run, device="cpu", on_progress=keep_last_snapshot)
    return run, record, kept


@pytest.mark.parametrize("at", [2, 3, 5], ids=["at a checkpoint", "between checkpoints", "with the last iteration"])
def test_resumed_run_equals_the_uninterrupted_one_bit_by_bit(uninterrupted, at, tmp_path):
    whole, record, momentum = uninterrupted
    config = tiny.experiment(record.head)
    with pytest.raises(Interrupted, match="SIGINT at iteration"):
        train(config, tmp_path, device="cpu", on_progress=interrupt_at(at))
    snapshot = snapshots.latest_snapshot(tmp_path)
    assert at <= snapshot.iteration <= at + 1
    torch.manual_seed(12345)  # a new process would not have the old one's random numbers either
    kept = {}

    def keep_last_snapshot(progress):
        if progress.stage == "evaluate" and (tmp_path / "checkpoints/iteration-00000005").exists():
            kept.update(snapshots.latest_snapshot(tmp_path).optimizer)

    resumed = train(config, tmp_path, device="cpu", on_progress=keep_last_snapshot)

    expected, weights = load_file(whole / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert expected.keys() == weights.keys()
    assert [name for name in expected if not torch.equal(expected[name], weights[name])] == []
    assert momentum.keys() == kept.keys()
    assert [name for name in momentum if not torch.equal(momentum[name], kept[name])] == []
    assert log_without_seconds(whole) == log_without_seconds(tmp_path)
    assert record.scores == resumed.scores
    assert record.curve == resumed.curve


def test_momentum_covers_what_is_trained_and_nothing_else(uninterrupted):
    run, _, momentum = uninterrupted
    trained = {name for name, value in checkpoint.load_model(run).named_parameters() if value.requires_grad}
    assert momentum.keys() == trained


def test_run_folder_has_everything_and_nothing_to_resume(uninterrupted):
    run, _, _ = uninterrupted
    paths = {str(path.relative_to(run)) for path in run.rglob("*") if "tensorboard" not in str(path)}
    pictures = {f"examples/{i:05d}-{kind}.png" for i in (0, 2) for kind in ("image", "label", "prediction")}
    files = {"config.json", "experiment.json", "log.jsonl", "model.safetensors", "per_image.npz", "record.json"}
    assert paths == files | pictures | {"examples"}


def test_record_says_what_was_run_and_where(uninterrupted):
    run, returned, _ = uninterrupted
    record = records.read(run / "record.json")
    assert record == returned
    assert record.config == to_dict(tiny.experiment(record.head))
    assert (record.dataset, record.split, record.scores.num_images) == ("streets", "val", 3)
    assert record.environment.precision == "fp32"
    assert record.cost.input_size == (32, 48)
    assert record.cost.network.parameters > record.cost.head_total.parameters > record.cost.mechanism.parameters >= 0
    assert np.sum(record.scores.confusion) == sum((s.label != 255).sum() for s in open_data(tiny.TINY.data)[1])


def test_curve_has_validation_where_it_was_asked_for_and_at_the_end(uninterrupted):
    record = uninterrupted[1]
    assert [point.iteration for point in record.curve] == [1, 2, 3, 4, 5]
    assert [point.mean_iou is not None for point in record.curve] == [False, True, False, True, True]
    assert record.curve[-1].mean_iou == record.scores.mean_iou


def test_logged_loss_is_the_weighted_sum_of_its_outputs(uninterrupted):
    run, record, _ = uninterrupted
    weights = checkpoint.load_model(run).loss_weights
    for point in record.curve:
        assert point.losses.keys() == weights.keys()
        assert point.loss == pytest.approx(sum(weights[name] * loss for name, loss in point.losses.items()), rel=1e-5)


def test_per_image_counts_sum_to_the_confusion_matrix(uninterrupted):
    run, record, _ = uninterrupted
    with np.load(run / "per_image.npz") as stored:
        assert stored["confusion"].sum(axis=0).tolist() == record.scores.confusion
        assert stored["names"].tolist() == ["val-000000", "val-000001", "val-000002"]


def test_example_pictures_are_the_image_and_palette_colours(uninterrupted):
    run, record, _ = uninterrupted
    sample = open_data(tiny.TINY.data)[1][0]
    example = record.examples[0]
    assert np.array_equal(np.asarray(Image.open(run / example.image)), sample.image)
    coloured = np.asarray(Image.open(run / example.label))
    for k in np.unique(sample.label):
        expected = (0, 0, 0) if k == 255 else record.palette[k]
        assert {tuple(c) for c in coloured[sample.label == k].tolist()} == {tuple(expected)}


def test_training_learns(tmp_path):
    few = tiny.experiment(
        data={"train_images": 1}, augmentation={"scale_range": (1.0, 1.0), "photometric": False, "flip": 0.0},
        optimization={"iterations": 40, "batch_size": 1, "lr": 0.1}, validate_every=0,
    )  # fmt: skip
    losses = [point.loss for point in train(few, tmp_path, device="cpu").curve]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_seeds_differ_and_a_seed_repeats(tmp_path):
    short = {"optimization": {"iterations": 1}}
    first = train(tiny.experiment(**short), tmp_path / "a", device="cpu").curve[0].loss
    again = train(tiny.experiment(**short), tmp_path / "b", device="cpu").curve[0].loss
    other = train(tiny.experiment(**short, seed=1), tmp_path / "c", device="cpu").curve[0].loss
    assert first == again != other


def test_workers_do_not_change_the_result(tmp_path):
    config = tiny.experiment(optimization={"iterations": 3})
    alone = train(config, tmp_path / "a", device="cpu").curve
    assert train(config, tmp_path / "b", device="cpu", num_workers=1).curve == alone


def test_bfloat16_run_resumes_to_the_same_weights(tmp_path):
    config = tiny.experiment("ccnet", optimization={"precision": "bf16", "iterations": 4})
    whole = train(config, tmp_path / "a", device="cpu")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "b", device="cpu", on_progress=interrupt_at(2))
    resumed = train(config, tmp_path / "b", device="cpu")
    assert whole.environment.precision == resumed.environment.precision == "bf16"
    assert whole.curve == resumed.curve


def test_without_momentum_a_run_resumes_too(tmp_path):
    config = tiny.experiment(optimization={"momentum": 0.0})
    with pytest.raises(Interrupted):
        train(config, tmp_path, device="cpu", on_progress=interrupt_at(3))
    assert snapshots.latest_snapshot(tmp_path).optimizer == {}
    assert len(train(config, tmp_path, device="cpu").curve) == 5


def test_interrupted_last_evaluation_is_done_again_without_training(tmp_path):
    config = tiny.experiment(validate_every=0)

    def at_evaluation(progress):
        if progress.stage == "evaluate":
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM in the last evaluation"):
        train(config, tmp_path, device="cpu", on_progress=at_evaluation)
    assert not (tmp_path / "record.json").exists()
    stages = []
    record = train(config, tmp_path, device="cpu", on_progress=lambda progress: stages.append(progress.stage))
    assert set(stages) == {"evaluate"}
    assert [point.iteration for point in record.curve] == [1, 2, 3, 4, 5]


def test_interrupted_evaluation_between_iterations_is_done_again_and_changes_nothing(uninterrupted, tmp_path):
    _, record, _ = uninterrupted

    def at_evaluation(progress):
        if progress.stage == "evaluate":
            signal.raise_signal(signal.SIGINT)

    for _ in range(2):  # the second one before any iteration
        with pytest.raises(Interrupted, match="SIGINT in the evaluation after iteration 2"):
            train(tiny.experiment(record.head), tmp_path, device="cpu", on_progress=at_evaluation)
        assert snapshots.latest_iteration(tmp_path) == 2
    assert train(tiny.experiment(record.head), tmp_path, device="cpu").curve == record.curve


def test_signal_handlers_are_given_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        train(tiny.experiment(), tmp_path, device="cpu", on_progress=interrupt_at(1))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_log_line_cut_by_a_kill_is_written_again(tmp_path):
    config = tiny.experiment()
    with pytest.raises(Interrupted):
        train(config, tmp_path, device="cpu", on_progress=interrupt_at(3))
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text() + '{"iteration": 99, "loss": 1.0, "lr": 0.1, "seconds": 1}\n{"iterat')
    train(config, tmp_path, device="cpu")
    assert [line["iteration"] for line in log_without_seconds(tmp_path)] == [1, 2, 3, 4, 5]


def test_loss_that_is_not_finite_names_iteration_and_images_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    from segattn.training import losses as criteria
    from segattn.training import train as module

    genuine, calls = criteria.Criterion.__call__, []

    def explode(*arguments):
        total, losses = genuine(*arguments)
        calls.append(total)
        return total * (float("nan") if len(calls) == 4 else 1.0), losses

    monkeypatch.setattr(criteria.Criterion, "__call__", explode)
    names = []

    def remember(batches):
        def wrapped(self, *arguments):
            for batch in batches(self, *arguments):
                names.append(batch["names"])
                yield batch

        return wrapped

    monkeypatch.setattr(module.TrainingStream, "batches", remember(module.TrainingStream.batches))
    with pytest.raises(ValueError, match="loss is nan at iteration 3") as caught:
        train(tiny.experiment(), tmp_path, device="cpu")
    assert ", ".join(names[3]) in str(caught.value)
    snapshot = snapshots.latest_snapshot(tmp_path)
    assert snapshot.iteration == 2
    assert all(torch.isfinite(value).all() for value in snapshot.model.values())
    assert not (tmp_path / "record.json").exists()


def test_learning_rate_that_explodes_is_stopped(tmp_path):
    with pytest.raises(ValueError, match=r"loss is (nan|inf) at iteration \d+ \(train-0"):
        train(tiny.experiment(optimization={"lr": 1e30, "iterations": 9}), tmp_path, device="cpu")


def test_folder_of_another_experiment_is_refused_with_the_difference(tmp_path):
    train(tiny.experiment(optimization={"iterations": 1}), tmp_path, device="cpu")
    before = (tmp_path / "record.json").read_bytes()
    other = tiny.experiment("ccnet", optimization={"iterations": 2})
    with pytest.raises(ValueError, match=r"another experiment \(different: model\.head, optimization\.iterations\)"):
        train(other, tmp_path, device="cpu")
    assert (tmp_path / "record.json").read_bytes() == before


def write_folder(root, *, damage):
    """A folder data set of three images a split, one sample of validation damaged."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / split / kind).mkdir(parents=True)
        for i in range(3):
            label = rng.integers(0, 11, (32, 48), dtype=np.uint8)
            image = Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8))
            if damage == "label" and (split, i) == ("val", 1):
                label[5, 7] = 77
            if damage == "size" and (split, i) == ("val", 1):
                image = image.resize((40, 30))
            image.save(root / split / "images" / f"photo{i}.jpg")
            Image.fromarray(label).save(root / split / "labels" / f"photo{i}.png")
    if damage == "image":
        (root / "val/images/photo1.jpg").write_bytes(b"no photo")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("label", [r"photo1\.png", "77"]),
        ("image", [r"photo1\.jpg"]),
        ("size", ["photo1", "30", "40", "32", "48"]),
    ],
)
def test_bad_sample_is_named_before_anything_is_written(damage, words, tmp_path):
    write_folder(tmp_path / "data", damage=damage)
    config = tiny.experiment(
        data={"name": "camvid", "root": str(tmp_path / "data"), "size": None, "train_images": None, "val_images": None}
    )
    steps = []
    with pytest.raises(ValueError) as caught:
        train(config, tmp_path / "run", device="cpu", on_progress=steps.append)
    for word in words:
        assert re.search(word, str(caught.value))
    assert not (tmp_path / "run").exists()
    assert steps == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "ccnett"}, "unknown head 'ccnett'; did you mean ccnet"),
        ({"model": {"backbone": "resnet81"}}, "unknown backbone 'resnet81'; did you mean resnet"),
        ({"model": {"head_options": {"chanels": 8}}}, "no option 'chanels'; did you mean channels"),
        ({"data": {"name": "street"}}, "unknown data set 'street'; did you mean streets"),
        ({"data": {"train_split": "trian"}}, "unknown split 'trian'"),
        ({"optimization": {"batch_size": 0}}, "batch_size should be above 0"),
    ],
)
def test_mistake_is_named_before_anything_is_written(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(tiny.experiment(**changes), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_out_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        train(tiny.experiment(), tmp_path / "run", device="cpu")


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


@pytest.mark.long("C")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_signal_to_the_process_leaves_a_checkpoint_that_resumes(number, tmp_path):
    config = tiny.experiment(optimization={"iterations": 30}, validate_every=0, checkpoint_every=1000)
    (tmp_path / "experiment.json").write_text(json.dumps(to_dict(config)))
    run = tmp_path / "run"
    command = [sys.executable, "-m", "segattn", "train", str(tmp_path / "experiment.json"), "--out", str(run)]
    command += ["--device", "cpu", "--workers", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    log = run / "log.jsonl"
    wait_for(lambda: log.exists() and log.read_text().count("\n") >= 2, process)
    os.killpg(process.pid, number)  # as a terminal and a batch system do: to the worker too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"stopped by {number.name} at iteration" in errors
    assert "Traceback" not in errors
    stopped = snapshots.latest_snapshot(run).iteration
    assert 2 <= stopped < 30
    seen = []
    record = train(config, run, device="cpu", on_progress=lambda p: seen.append(p.done) if p.stage == "train" else None)
    assert seen == list(range(stopped + 1, 31))
    assert [point.iteration for point in record.curve] == list(range(1, 31))
