"""The mechanism cut out of every head, by its input or by channel means; the gates that a network has learnt."""

import numpy as np
import pytest
import torch
from torch import nn

from segattn import create_model, heads
from segattn.config import Evaluation
from segattn.data import Dataset, Sample
from segattn.evaluation.evaluate import evaluate
from segattn.evaluation.without_attention import (
    ChannelMeans,
    check,
    collected,
    evaluate_without,
    has_mechanism,
    learnt_gates,
    record,
    removed,
    replacement,
)
from segattn.model import SegmentationModel
from tests import tiny

K = 5
ATTENDING = [name for name in heads.names() if name != "fcn"]
MODES = ["faithful", "controlled"]
NO_GATES = {"emanet", "external", "hamburger"}
IDENTITY = {
    "agent", "ccnet", "danet", "dnlnet", "efficient", "flanet", "large_kernel", "neighborhood", "non_local", "ss2d", "star",
    *NO_GATES,
}  # fmt: skip


def network(name, mode="faithful", **options):
    """A small network with random weights, its gates open."""
    torch.manual_seed(0)
    model = create_model(
        name, num_classes=K, backbone="resnet18", mode=mode, auxiliary_weight=0, backbone_options={"width": 8},
        head_options={"channels": 16, **options},
    ).eval()  # fmt: skip
    for parameter in model.mechanism.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    return model


def images(batch=2, seed=1):
    return torch.randn(batch, 3, 57, 41, generator=torch.Generator().manual_seed(seed))


def street(sizes=((41, 57), (33, 49), (41, 57)), seed=0):
    """Labelled noise of several sizes."""
    rng = np.random.default_rng(seed)
    samples = [
        Sample(rng.integers(0, 256, (*size, 3), dtype=np.uint8), rng.integers(0, K, size, dtype=np.uint8), f"photo{i}")
        for i, size in enumerate(sizes)
    ]
    return Dataset(
        name="noise", split="val", class_names=[f"class{k}" for k in range(K)], palette=[(k, k, k) for k in range(K)],
        image_names=[sample.name for sample in samples], read=lambda i: samples[i], from_files=False,
    )  # fmt: skip


def means_of(model, *batches):
    means = ChannelMeans()
    handle = model.mechanism.register_forward_hook(lambda module, inputs, output: means.add(maps_of(output)))
    with torch.no_grad():
        for batch in batches:
            model(batch)
    handle.remove()
    return means.over_processes()


def maps_of(output):
    output = output["context"] if isinstance(output, dict) else output
    return list(output) if isinstance(output, tuple) else [output]


@pytest.mark.long("ccnet", "danet", "ocr", "psp", "flanet")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ATTENDING)
def test_logits_no_longer_depend_on_the_mechanism_and_come_back_afterwards(name, mode):
    model, x = network(name, mode), images()
    means = means_of(model, x)
    with torch.no_grad():
        before = model(x)
        with removed(model, means):
            cut = model(x)
        assert torch.equal(model(x), before)
        assert not torch.equal(cut, before)
        for value in (*model.mechanism.parameters(), *model.mechanism.buffers()):
            if value.is_floating_point():
                value.copy_(torch.rand_like(value))
        assert not torch.equal(model(x), before)
        with removed(model, means):
            assert torch.equal(model(x), cut)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", heads.names())
def test_replacement_is_the_one_declared(name, mode):
    model = network(name, mode)
    if name == "fcn":
        assert not has_mechanism(model)
        return
    identity = name in IDENTITY or (name, mode) == ("denoised_nl", "faithful")
    assert replacement(model) == ("identity" if identity else "mean")


GATED = [(name, mode) for name in sorted(IDENTITY - NO_GATES) for mode in MODES] + [("denoised_nl", "faithful")]


@pytest.mark.parametrize(("name", "mode"), GATED)
def test_network_with_gates_at_0_is_the_network_without_its_mechanism(name, mode):
    model = network(name, mode)
    gates = learnt_gates(model)
    assert gates
    with torch.no_grad():
        for gate in gates:
            model.mechanism.get_parameter(gate).zero_()
            if gate == "bn.weight":
                model.mechanism.get_parameter("bn.bias").zero_()
        expected = model(images())
        with removed(model):
            assert torch.equal(model(images()), expected)


@pytest.mark.parametrize("name", ["reconet", "danet"])
def test_precision_and_memory_format_are_those_of_the_mechanism(name):
    model = network(name).to(memory_format=torch.channels_last)
    means, seen = means_of(model, images()), []

    def note(module, inputs, output):
        seen.append(maps_of(output))

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), removed(model, means):
        model.mechanism.register_forward_hook(note, prepend=True)  # before the replacement
        model.mechanism.register_forward_hook(note)  # after it
        model(images())
    for a, b in zip(*seen, strict=True):
        assert not torch.equal(a, b)
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        assert a.dtype == torch.bfloat16


def test_channel_means_are_over_all_positions_of_all_images_of_any_size():
    means = ChannelMeans()
    torch.manual_seed(3)
    maps = [torch.randn(2, 3, 5, 7), torch.randn(1, 3, 2, 11)]
    for x in maps:
        means.add([x])
    expected = torch.cat([x.permute(1, 0, 2, 3).flatten(1) for x in maps], dim=1).double().mean(1)
    (mean,) = means.over_processes()
    assert mean.dtype == torch.float64
    assert torch.allclose(mean, expected, rtol=1e-12)


def test_channel_means_are_over_all_processes_also_those_without_an_image(monkeypatch):
    maps = torch.arange(24.0).reshape(2, 3, 2, 2)
    shares = [([], [])]
    for x in maps.split(1):
        means = ChannelMeans()
        means.add([x])
        shares.append((means.sums, means.positions))
    monkeypatch.setattr("segattn.evaluation.without_attention._gathered", lambda own: [own, *shares[:2]])
    (mean,) = means.over_processes()
    assert mean.tolist() == maps.double().mean((0, 2, 3)).tolist()


@pytest.mark.parametrize("name", ["isanet", "ccnet"])
def test_score_is_that_of_a_network_whose_mechanism_is_exchanged_by_hand(name):
    model, data = network(name), street()

    class Constant(nn.Module):
        """What stands in for the mechanism."""

        def __init__(self, mean):
            super().__init__()
            self.mean = mean

        def forward(self, x):
            return x if self.mean is None else self.mean.to(x.dtype)[None, :, None, None].expand_as(x).contiguous()

    settings = Evaluation(flip=True, scales=(0.5, 1.0))
    found = evaluate_without(model, lambda: evaluate(model, data, settings, strata=True))
    mean = None
    if name == "isanet":
        means = ChannelMeans()
        model.mechanism.register_forward_hook(lambda module, inputs, output: means.add([output]))
        evaluate(model, data, settings)
        (mean,) = means.over_processes()
    plain = evaluate(model, data, settings, strata=True)
    model.head.attention = Constant(mean)
    by_hand = evaluate(model, data, settings, strata=True)
    assert np.array_equal(found.per_image, by_hand.per_image)
    assert found.strata == by_hand.strata
    assert found.scores == by_hand.scores
    assert not np.array_equal(found.per_image, plain.per_image)


@pytest.mark.parametrize(("name", "passes"), [("isanet", 1), ("ccnet", 1)])
def test_means_collected_in_an_evaluation_save_a_pass(name, passes):
    model, data, calls = network(name), street(), []

    def score():
        calls.append(1)
        return evaluate(model, data)

    with collected(model) as means:
        score()
    assert (means is None) == (name == "ccnet")
    calls.clear()
    once = evaluate_without(model, score, means)
    assert len(calls) == passes
    calls.clear()
    again = evaluate_without(model, score)
    assert len(calls) == passes + (name == "isanet")
    assert np.array_equal(once.per_image, again.per_image)


@pytest.mark.parametrize("name", ["isanet", "ccnet"])
def test_network_is_as_before_after_an_error(name):
    model = network(name)
    with torch.no_grad():
        before = model(images())

    def score():
        raise KeyError("interrupted")

    with pytest.raises(KeyError, match="interrupted"):
        evaluate_without(model, score, None)
    assert not model.mechanism._forward_hooks
    with torch.no_grad():
        assert torch.equal(model(images()), before)


def test_random_state_is_left_alone():
    model, data = network("reconet"), street()
    before = torch.get_rng_state()
    evaluate_without(model, lambda: evaluate(model, data))
    check(tiny.experiment("reconet"), K)
    assert torch.equal(torch.get_rng_state(), before)


def test_compiled_network_is_cut_too():
    """A graph compiled before the cut would go on with the mechanism in it."""
    model, x = network("ccnet"), images()
    compiled = network("ccnet")
    compiled.compile(backend="eager")
    with torch.no_grad():
        plain = compiled(x)
        with removed(model):
            expected = model(x)
        with removed(compiled):
            assert torch.equal(compiled(x), expected)
        assert torch.allclose(compiled(x), plain)
        assert not torch.allclose(plain, expected)


def test_compiled_network_collects_no_means_while_it_is_evaluated():
    model = network("isanet")
    model.compile(backend="eager")
    with collected(model) as means:
        assert means is None


# Heads that cannot be cut


class Blocks(nn.Module):
    """Takes (B, C, H, W) and returns what its option says."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.grow = nn.Conv2d(3, 6, 1)

    def forward(self, x):
        return {"grown": self.grow(x), "flat": x.flatten(2), "named": {"values": x}}[self.form]


class Made(nn.Module):
    """A head around `attention`."""

    loss_weights = {"out": 1.0}  # noqa: RUF012
    without_attention = "identity"

    def __init__(self, attention, called=True):
        super().__init__()
        if attention is not None:
            self.attention = attention
        self.called = called
        self.classify = nn.LazyConv2d(2, 1)

    def forward(self, features):
        x = features[-1]
        if self.called:
            x = self.attention(x)
            x = x["values"] if isinstance(x, dict) else x
            x = x.unsqueeze(3) if x.ndim == 3 else x
        return {"out": self.classify(x)}


class Pyramid(nn.Module):
    def forward(self, images):
        return [images] * 4


def made(attention, **options):
    model = SegmentationModel(Pyramid(), Made(attention, **options), None, num_classes=2).eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, 5, 7))
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            lambda: made(Blocks("grown")),
            "head tests.evaluation.test_without_attention declares without_attention = 'identity', but its mechanism turns "
            "maps of 1x3x5x7 into maps of 1x6x5x7; declare 'mean'",
        ),
        (lambda: made(Blocks("flat")), r"returns no map \(B, C, H, W\), nor several, nor a dict with one under 'context'"),
        (lambda: made(Blocks("named")), r"returns no map \(B, C, H, W\), nor several"),
        (lambda: made(nn.Identity(), called=False), r"does not call its mechanism as a module.*write: self\.attention\(x\)"),
        (lambda: made(None, called=False), r"declares no mechanism, so nothing can be cut out; declare it: self\.attention ="),
        (lambda: network("fcn"), "head fcn is a baseline without attention, so nothing can be cut out"),
        (lambda: network("fcn", "controlled"), "head fcn is a baseline without attention"),
    ],
    ids=["other size", "no map", "no context", "not called", "none declared", "baseline", "controlled baseline"],
)  # fmt: skip
def test_head_that_cannot_be_cut_is_named(model, words):
    model = model()
    with pytest.raises(ValueError, match=words), torch.no_grad(), removed(model):
        model(torch.zeros(1, 3, 5, 7))
    assert not model.mechanism._forward_hooks


def test_replacement_that_is_neither_is_named():
    model = made(nn.Identity())
    model.head.without_attention = "zero"
    with pytest.raises(ValueError, match="without_attention = 'zero'; write 'identity' or 'mean'"):
        replacement(model)


@pytest.mark.long("ccnet", "danet", "ocr", "psp", "flanet")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", heads.names())
def test_every_head_of_the_catalogue_can_be_cut_at_the_end_of_a_run(name, mode):
    check(tiny.experiment(name, model={"mode": mode}), K)


def test_head_that_cannot_be_cut_is_refused_before_training_and_accepted_without(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labwide").mkdir()
    (tmp_path / "labwide/wide.py").write_text(
        """
from torch import nn

class Head(nn.Module):
    loss_weights = {"out": 1.0}
    without_attention = "identity"

    def __init__(self, in_channels, num_classes, *, channels=8):
        super().__init__()
        self.attention = nn.Conv2d(in_channels[-1], channels, 1)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features):
        return {"out": self.classify(self.attention(features[-1]))}
"""
    )
    with pytest.raises(ValueError, match=r"head labwide\.wide declares without_attention = 'identity'"):
        check(tiny.experiment("labwide.wide"), K)
    check(tiny.experiment("labwide.wide", evaluation={"without_attention": False}), K)


# Gates


@pytest.mark.parametrize(
    ("name", "mode", "options", "gates"),
    [
        ("ccnet", "faithful", {}, ["gamma"]),
        ("danet", "faithful", {}, ["position.gamma", "channel.beta"]),
        ("denoised_nl", "faithful", {}, ["gamma"]),
        ("denoised_nl", "controlled", {}, ["attention.gamma"]),
        ("dnlnet", "faithful", {}, ["bn.weight"]),
        ("dnlnet", "controlled", {"preset": "official"}, ["gamma"]),
        ("flanet", "controlled", {}, ["gamma"]),
        ("non_local", "faithful", {}, ["bn.weight"]),
        ("emanet", "faithful", {}, []),
        ("isanet", "faithful", {}, []),
        ("reconet", "controlled", {}, []),
        ("fcn", "faithful", {}, []),
    ],
)
def test_gates_are_read_from_the_network(name, mode, options, gates):
    model = network(name, mode, **options)
    with torch.no_grad():
        for index, gate in enumerate(gates):
            parameter = model.mechanism.get_parameter(gate)
            parameter.fill_(-0.25 * (index + 1))
            if parameter.ndim:
                parameter[::2] = 0.75  # half of the 16 channels
    expected = {gate: 0.5 if gate == "bn.weight" else -0.25 * (index + 1) for index, gate in enumerate(gates)}
    assert learnt_gates(model) == pytest.approx(expected)


@pytest.mark.parametrize("strata", [True, False])
def test_record_holds_the_scores_and_what_was_recorded_of_strata(strata):
    model, data = network("ccnet"), street()
    result = evaluate_without(model, lambda: evaluate(model, data, strata=strata))
    kept = record(model, result)
    assert (kept.replacement, kept.mean_iou, kept.iou) == ("identity", result.scores.mean_iou, result.scores.iou)
    if strata:
        assert kept.boundary_mean_iou == result.strata.boundary_mean_iou
        assert kept.sizes == {stratum.name: stratum.mean_iou for stratum in result.strata.sizes}
        assert list(kept.widths) == ["thin", "medium", "thick"]
    else:
        assert (kept.boundary_mean_iou, kept.sizes, kept.widths) == (None, {}, {})
