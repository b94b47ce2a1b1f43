"""Options of execution and optimisation: each does what it says, and leaves the rest as it was."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from segattn import checkpoint
from segattn.model import create_model
from segattn.training import averaging, execution, resume
from segattn.training.checks import check
from segattn.training.class_weights import balanced, class_weights, histogram, keep_counts
from segattn.training.interruption import Interrupted
from segattn.training.losses import num_counted, segmentation_loss
from segattn.training.train import open_data, train
from tests import tiny

pytestmark = pytest.mark.slow

QUIET = {"head_options": {"channels": 8, "dropout": 0.0}, "auxiliary_weight": 0.0}  # nothing is drawn


def curve(tmp_path, name, head="fcn", **changes):
    record = train(tiny.experiment(head, validate_every=0, **changes), tmp_path / name, device="cpu")
    return [point.loss for point in record.curve], checkpoint.load_model(tmp_path / name).state_dict()


def small(head="emanet", backbone="resnet18"):
    torch.manual_seed(0)
    return create_model(
        head, num_classes=3, backbone=backbone, head_options={"channels": 8}, backbone_options={"width": 8}
    )


# --- the batch in parts


def test_parts_give_the_loss_and_the_weights_of_the_whole(tmp_path):
    optimization = {"batch_size": 4, "freeze_norm": True, "iterations": 2}
    settings = {"model": QUIET, "augmentation": {"crop_size": (48, 48)}}
    whole, weights = curve(tmp_path, "whole", optimization=optimization, **settings)
    losses, weights_in_parts = curve(tmp_path, "in parts", optimization={**optimization, "accumulation": 4}, **settings)
    assert losses == pytest.approx(whole, rel=2e-5)
    assert all(torch.allclose(weights[name], weights_in_parts[name], rtol=1e-3, atol=1e-5) for name in weights)


def test_parts_of_unequally_many_pixels_make_up_the_mean_over_the_batch():
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 5, 7), torch.randint(3, (2, 5, 7))
    label[0, 1:] = 255
    weights = torch.tensor([1.0, 3.0, 0.5])
    whole, _ = segmentation_loss({"out": logits}, label, {"out": 1.0}, class_weights=weights)
    divisor = num_counted(label, class_weights=weights) / 2
    parts = [
        segmentation_loss({"out": logits[i : i + 1]}, label[i : i + 1], {"out": 1.0}, class_weights=weights, divisor=divisor)[0]
        for i in (0, 1)
    ]  # fmt: skip
    assert sum(parts).item() / 2 == pytest.approx(whole.item(), rel=1e-6)


def test_batch_that_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="batch_size 2 cannot be split into 3 parts"):
        check(tiny.experiment(optimization={"accumulation": 3}))


def test_ohem_in_parts_trains(tmp_path):
    losses, _ = curve(tmp_path, "run", optimization={"ohem": True, "accumulation": 2})
    assert all(math.isfinite(loss) for loss in losses)


# --- recomputed activations


@pytest.mark.parametrize("head", ["emanet", "danet"])
def test_recomputed_activations_change_nothing(head, tmp_path):
    kept, weights = curve(tmp_path, "kept", head, optimization={"iterations": 3})
    option = {"iterations": 3, "activation_checkpointing": True}
    losses, recomputed = curve(tmp_path, "recomputed", head, optimization=option)
    assert losses == kept
    # norm statistics and EMANet's bases are among them
    assert [name for name in weights if not torch.equal(weights[name], recomputed[name])] == []


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_recomputation_keeps_fewer_bytes(backbone):
    def kept_bytes(model):
        total, seen = 0, set()

        def pack(tensor):
            nonlocal total
            if tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.backbone(torch.randn(1, 3, 64, 64))
        return total

    plain, recomputed = small(backbone=backbone), small(backbone=backbone)
    execution.checkpoint_activations(recomputed.backbone)
    assert kept_bytes(recomputed) < 0.5 * kept_bytes(plain)


def test_recomputing_another_backbone_is_refused():
    with pytest.raises(ValueError, match=r"not for Conv2d; set optimization\.activation_checkpointing to False"):
        execution.checkpoint_activations(nn.Conv2d(3, 3, 1))


# --- frozen norms


def test_frozen_norms_stay_and_their_weights_move(tmp_path):
    _, state = curve(tmp_path, "run", optimization={"freeze_norm": True})
    statistics = [value for name, value in state.items() if name.endswith("running_mean")]
    assert statistics
    assert all((value == 0).all() for value in statistics)
    assert any((value != 0).any() for name, value in state.items() if name.endswith("bn1.bias"))


# --- averaged weights


def test_average_is_that_of_the_equation():
    model = nn.Linear(2, 2, bias=False)
    average = averaging.WeightAverage(model, 0.5)
    expected = model.weight.detach().clone()
    for t in (1, 2, 3, 70):
        nn.init.constant_(model.weight, t)
        average.update(t)
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * t
    assert torch.allclose(average.values["weight"], expected)
    with average.applied():
        assert torch.allclose(model.weight, expected)
    assert (model.weight == 70).all()


def test_run_evaluates_and_keeps_the_average(tmp_path):
    averaged, state = curve(tmp_path, "averaged", optimization={"ema_decay": 0.9})
    plain, own = curve(tmp_path, "plain")
    assert averaged == plain  # training itself does not see it
    different = {name for name in own if not torch.equal(state[name], own[name])}
    trained = {name for name, _ in checkpoint.load_model(tmp_path / "plain").named_parameters()}
    assert {name for name in trained if "conv" in name} <= different <= trained
    assert torch.equal(state["backbone.stem.1.running_mean"], own["backbone.stem.1.running_mean"])


def test_average_is_resumed(tmp_path):
    config = tiny.experiment(optimization={"ema_decay": 0.9})
    whole = train(config, tmp_path / "whole", device="cpu")

    def stop(progress):
        if progress.stage == "train" and progress.done == 3:
            import signal

            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", device="cpu", on_progress=stop)
    assert train(config, tmp_path / "parts", device="cpu").curve == whole.curve
    states = [checkpoint.load_model(tmp_path / run).state_dict() for run in ("whole", "parts")]
    assert [name for name in states[0] if not torch.equal(states[0][name], states[1][name])] == []


# --- compilation and memory format


def test_compiled_network_gives_what_the_eager_one_gives(monkeypatch):
    compile_with, compiled = nn.Module.compile, []

    def without_code_generation(self):
        compiled.append(type(self).__name__)
        compile_with(self, backend="eager", fullgraph=True)

    monkeypatch.setattr(nn.Module, "compile", without_code_generation)
    eager, images = small("fcn"), torch.randn(2, 3, 32, 32)
    optimization = tiny.experiment(optimization={"compile": True}).optimization
    model = execution.arrange(copy.deepcopy(eager), optimization, synchronize=False)
    assert compiled == ["SegmentationModel"]
    assert model.state_dict().keys() == eager.state_dict().keys()
    assert torch.allclose(model.eval()(images), eager.eval()(images), atol=1e-5)


def test_compilation_and_recomputation_together_are_refused():
    both = {"compile": True, "activation_checkpointing": True}
    with pytest.raises(ValueError, match="cannot be combined"):
        check(tiny.experiment(optimization=both))


@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_format_of_the_weights(channels_last):
    model = execution.arrange(
        small(), tiny.experiment(optimization={"channels_last": channels_last}).optimization, synchronize=False
    )
    weight = model.backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_synchronized_norms_replace_ours_and_keep_their_names():
    model, before = small(), small().state_dict()
    arranged = execution.arrange(model, tiny.TINY.optimization, synchronize=True)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in arranged.modules())
    assert arranged.state_dict().keys() == before.keys()


# --- class weights


def test_log_and_median_weights_by_hand():
    pixels, present = np.array([60, 0, 30, 10]), np.array([100, 0, 100, 50])
    expected = [1 / math.log(1.62), 1, 1 / math.log(1.32), 1 / math.log(1.12)]
    assert balanced("log", pixels, present).tolist() == pytest.approx(expected)
    assert balanced("median", pixels, present).tolist() == pytest.approx([0.3 / 0.6, 1, 1, 0.3 / 0.2])


def test_histogram_is_that_of_a_loop_and_shares_sum_to_it():
    dataset = open_data(tiny.TINY.data)[0]
    expected = np.zeros((2, dataset.num_classes), int)
    for sample in dataset:
        for k in range(dataset.num_classes):
            expected[0, k] += (sample.label == k).sum()
            expected[1, k] += (sample.label != 255).sum() if (sample.label == k).any() else 0
    assert np.array_equal(histogram(dataset), expected)
    assert np.array_equal(histogram(dataset, 0, 2) + histogram(dataset, 1, 2), expected)


def test_counts_are_kept_beside_the_features_for_the_next_process(tmp_path):
    def counted():
        dataset = open_data(tiny.TINY.data)[0]
        keep_counts(dataset, tmp_path)
        told.clear()
        return class_weights(
            tiny.experiment(optimization={"class_balance": "log"}).optimization, dataset, say=told.append
        )

    told = []
    expected = counted()
    assert told
    [file] = tmp_path.iterdir()
    assert torch.equal(counted(), expected)
    assert not told
    rows = json.loads(file.read_text())
    rows[0][0] //= 2
    impossible = (
        [[-1] * len(rows[0])] * 2,
        [rows[0]],
        [rows[0], [0] * len(rows[0])],
    )  # the last: no image holds a class
    for damaged in ("", "[[1, 2], [3", "[[1, 2]]", "{}", 4000 * "[", *map(json.dumps, impossible)):
        file.write_text(damaged)
        assert torch.equal(counted(), expected)  # counted again, and kept again
        assert told
    file.write_text(json.dumps(rows))
    assert not torch.equal(counted(), expected)  # they are what is read
    file.unlink()
    file.mkdir()  # a folder that cannot be written
    assert torch.equal(counted(), expected)


def test_labels_are_counted_once_and_the_user_is_told_before():
    optimization = tiny.experiment(optimization={"class_balance": "log"}).optimization
    dataset, told = open_data(tiny.TINY.data)[0], []
    first = class_weights(optimization, dataset, say=told.append)
    again = class_weights(optimization, dataset, say=told.append)
    assert told == [f"class weights (log): counting the labels of {len(dataset)} images"]
    assert torch.equal(first, again)
    other = open_data(tiny.TINY.data)[0]
    class_weights(tiny.experiment(optimization={"class_balance": "none"}).optimization, other, say=told.append)
    assert len(told) == 1


def test_class_weights_reach_the_loss(tmp_path):
    K = open_data(tiny.TINY.data)[0].num_classes
    plain, _ = curve(tmp_path, "plain", optimization={"iterations": 1})
    ones, _ = curve(tmp_path, "ones", optimization={"iterations": 1, "class_weights": (1.0,) * K})
    weighted_loss, _ = curve(
        tmp_path, "weighted", optimization={"iterations": 1, "class_weights": (5.0,) + (1.0,) * (K - 1)}
    )
    balanced_loss, _ = curve(tmp_path, "balanced", optimization={"iterations": 1, "class_balance": "median"})
    assert ones == pytest.approx(plain, rel=1e-6)
    assert plain[0] != weighted_loss[0] != balanced_loss[0] != plain[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_weights": (1.0, 2.0)}, "class_weights has 2 weights; streets has"),
        ({"class_weights": (1.0, -2.0)}, "should be 0 or more"),
        ({"class_weights": (1.0,), "class_balance": "log"}, "use one of them"),
        ({"ema_decay": 1.0}, "should be at least 0 .off. and below 1"),
        ({"accumulation": 0}, "accumulation should be above 0"),
    ],
)
def test_mistake_in_an_option_is_named(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(tiny.experiment(optimization=changes), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


# --- fp16's scale


class Scaler:
    """The part of torch's GradScaler that a checkpoint sees."""

    def __init__(self, scale, tracker):
        self.state = {"scale": scale, "growth_factor": 2.0, "_growth_tracker": tracker}

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state):
        self.state = state


def test_scale_of_fp16_is_resumed(tmp_path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state = resume.State(model, optimizer, Scaler(4096.0, 17))
    resume.save(tmp_path, state, 3, [resume.random_state()])
    fresh = resume.State(copy.deepcopy(model), optimizer, Scaler(65536.0, 0))
    assert resume.restore(tmp_path, fresh, seed=0) == 3
    assert fresh.scaler.state == {"scale": 4096.0, "growth_factor": 2.0, "_growth_tracker": 17}
