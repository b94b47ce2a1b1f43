"""Predictions of whole training steps: what makes them up, how they grow, and one against a measured step."""

import dataclasses
from pathlib import Path

import msgspec
import pytest
import torch

from segattn.benchmark import peak
from segattn.config import Optimization
from segattn.model import build_model
from segattn.profile import memory
from tests import tiny

pytestmark = pytest.mark.slow


def case(head="non_local", *, batch=2, crop=(65, 65), device="cpu", training=True, classes=5, **optimization):
    model = tiny.experiment(head).model
    settings = Optimization(**{"batch_size": batch, "precision": "fp32", **optimization})
    return peak.Case(
        model=model, optimization=settings, crop_size=crop, num_classes=classes, device=device, training=training
    )


def parameters(wanted):
    model = build_model(wanted.model, wanted.num_classes)
    return model, sum(4 * one.numel() for one in model.parameters())


def test_weights_and_momentum_are_those_of_the_network():
    wanted = case(crop=(129, 129))
    model, trained = parameters(wanted)
    parts = peak.simulate(wanted).parts
    buffers = sum(one.numel() * one.element_size() for one in model.buffers())
    assert parts["weights"] == trained + buffers
    assert parts["optimizer"] == trained
    assert parts["input"] == 4 * 2 * 3 * 129 * 129 + 8 * 2 * 129 * 129  # images and int64 labels


def test_optimiser_on_cuda_holds_the_gradients_twice():
    wanted = case("fcn", crop=(33, 33), device="cuda")  # so small a crop that the optimiser's step is the peak
    model, _ = parameters(wanted)
    blocks = sum(-(-4 * one.numel() // 512) * 512 for one in model.parameters())
    simulated = peak.simulate(wanted)
    assert simulated.parts["gradients"] == blocks
    # gradient + decay * weight, of all weights at once; the losses of the step besides
    assert simulated.parts["temporary"] == pytest.approx(blocks, abs=1024)
    assert "_foreach_add" in simulated.operator


def test_adamw_holds_two_numbers_for_each_parameter_and_a_step_count():
    wanted = case(optimizer="adamw", clip_norm=1.0)
    model, trained = parameters(wanted)
    assert peak.simulate(wanted).parts["optimizer"] == 2 * trained + 4 * len(list(model.parameters()))


def test_without_momentum_there_is_no_optimiser_state():
    assert "optimizer" not in peak.simulate(case(momentum=0.0)).parts


def test_peak_is_affine_in_the_batch_once_activations_are_the_most():
    four, six, eight = (peak.simulate(case(batch=batch, crop=(129, 129))).total for batch in (4, 6, 8))
    assert eight - six == pytest.approx(six - four, rel=1e-6)


def test_accumulation_needs_what_its_parts_need():
    whole, halves = (
        peak.simulate(case(batch=8, crop=(129, 129))),
        peak.simulate(case(batch=8, crop=(129, 129), accumulation=2)),
    )
    half = peak.simulate(case(batch=4, crop=(129, 129)))
    assert half.total < halves.total < 0.7 * whole.total


def test_activation_checkpointing_lowers_the_peak():
    plain, recomputed = (
        peak.simulate(case("fcn", batch=4, crop=(129, 129), activation_checkpointing=on)) for on in (False, True)
    )
    assert recomputed.parts["activations"] < 0.8 * plain.parts["activations"]


def test_reference_form_holds_the_affinity_map_and_the_fused_one_does_not():
    wanted = case(crop=(257, 257), batch=1)

    def total(implementation):
        options = {"channels": 8, "implementation": implementation}
        return peak.simulate(
            dataclasses.replace(wanted, model=dataclasses.replace(wanted.model, head_options=options))
        ).total

    affinity = 4 * (33 * 33) ** 2
    assert total("reference") - total("fast") > affinity


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_needs_less(precision):
    full, half = (peak.simulate(case(batch=4, crop=(129, 129), precision=each)).total for each in ("fp32", precision))
    assert 0.5 * full < half < 0.9 * full


def test_inference_needs_no_gradients_and_little_else():
    training, inference = (peak.simulate(case(batch=4, crop=(129, 129), training=each)) for each in (True, False))
    assert inference.total < training.total / 2
    assert set(inference.parts) <= {"weights", "input", "temporary"}


def test_reserve_is_added():
    assert peak.predict(case()).total - peak.simulate(case()).total == peak.CPU_LIBRARIES
    assert peak.predict(case(device="cuda"), reserve=7).reserve == 7


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_prediction_is_what_a_step_needs():
    wanted = case("danet", batch=4, crop=(257, 257))
    arguments = {"case": msgspec.to_builtins(wanted)}
    measured = memory.measure("segattn.benchmark.peak:task", arguments, threads=1, runs=2)
    assert measured.outcome == "ok", measured.message
    assert peak.predict(wanted).total == pytest.approx(measured.total_bytes, rel=0.15)
    assert peak.simulate(wanted).total > 0.4 * measured.total_bytes  # the constant is not what agrees


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_prediction_is_for_labels_of_every_class():
    plain, wanted = (case("fcn", batch=4, crop=(257, 257), classes=19, loss=loss) for loss in ("ce", "lovasz"))
    measured = memory.measure("segattn.benchmark.peak:task", {"case": msgspec.to_builtins(wanted)}, threads=1, runs=1)
    assert measured.outcome == "ok", measured.message
    assert peak.predict(wanted).total == pytest.approx(measured.total_bytes, rel=0.08)
    assert peak.simulate(wanted).total > 1.15 * peak.simulate(plain).total


@pytest.mark.parametrize(
    "settings",
    [
        *({"loss": loss} for loss in ("focal", "dice", "lovasz", "boundary")),
        *({"freeze": part} for part in ("stages 1-2, norms", "gates")),
        {"ohem": True, "class_weights": (1.0,) * 5, "label_smoothing": 0.1},
        {"layer_decay": 0.9, "clip_norm": 1.0, "ema_decay": 0.9, "lr_factors": {"stem": 0.1}},
    ],
    ids=str,
)
def test_every_setting_of_training_can_be_planned(settings):
    plain, chosen = case("ccnet"), case("ccnet", **settings)
    assert peak.simulate(chosen).total >= peak.simulate(plain).parts["weights"]


def test_nothing_is_computed_and_the_random_state_stays():
    before = torch.get_rng_state()
    peak.simulate(case())
    assert torch.equal(torch.get_rng_state(), before)


# The largest that fits -----------------------------------------------------------------------------------------------------
def search(total, limit, **options):
    """The answer and the calls that it took."""
    calls = []

    def counted(n):
        calls.append(n)
        return total(n)

    return peak.largest(counted, limit, **options), calls


@pytest.mark.parametrize("limit", [1_000, 1_011, 1_012, 12_345, 99_999])
@pytest.mark.parametrize("start", [1, 8, 97])
def test_largest_of_an_affine_need_is_exact_in_few_calls(limit, start):
    largest, calls = search(lambda n: 900 + 37 * n, limit, start=start, power=1)
    assert largest == (limit - 900) // 37
    assert len(calls) <= 6


@pytest.mark.parametrize("limit", [2_000, 31_415, 271_828])
def test_largest_of_a_need_with_a_floor_and_a_fourth_power_is_exact(limit):
    def total(n):
        return max(1_500, 1_000 + 3 * n**2 + n**4 // 50)

    slow = max(n for n in range(1, 200) if total(n) <= limit)
    assert search(total, limit, start=12, power=2)[0] == slow


def test_nothing_fits():
    assert search(lambda n: 900 + 37 * n, 936, start=8, power=1)[0] is None


def test_largest_batch_fits_and_one_more_does_not():
    wanted = case(crop=(129, 129), device="cuda")
    limit = peak.predict(peak.with_batch(wanted, 7)).total + 1000
    assert peak.largest_batch(wanted, limit) == 7
    assert peak.predict(peak.with_batch(wanted, 8)).total > limit


def test_largest_batch_is_a_multiple_of_the_parts():
    wanted = case(crop=(129, 129), batch=4, accumulation=2, device="cuda")
    limit = peak.predict(peak.with_batch(wanted, 4 * 2)).total - 1
    assert peak.largest_batch(wanted, limit) == 3 * 2


@pytest.mark.long
def test_largest_crop_keeps_the_form_of_the_crop():
    for size in (129, 128):
        wanted = case(crop=(size, size), device="cuda")
        limit = peak.predict(dataclasses.replace(wanted, crop_size=(size + 24, size + 24))).total
        assert peak.largest_crop(wanted, limit) == size + 24
