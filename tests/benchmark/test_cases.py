"""Which cases a call makes, and what the ledger says of each."""

from __future__ import annotations

import pytest

from segattn import heads
from segattn.benchmark import cases
from segattn.cost import network_cost
from segattn.records.bench import Case


def combined(**changes):
    asked = {
        "names": ("ccnet",), "parts": ("mechanism",), "sizes": [(33, 41)], "batches": (1,), "phases": ("inference",),
        "dtypes": ("fp32",), "implementations": ("auto",), "channels_last": (False,), "compiled": (False,),
        "backbone": "resnet18", "output_stride": 8, "mode": "faithful", "num_classes": 3,
    }  # fmt: skip
    return cases.combinations(**{**asked, **changes})


def one(**changes) -> Case:
    (case,) = combined(**changes)
    return case


def test_every_combination_is_a_case():
    chosen = combined(
        names=("ccnet", "danet"), batches=(1, 2), phases=cases.PHASES, implementations=("reference", "fast")
    )
    assert len(set(map(str, chosen))) == 2 * 2 * 2 * 2


def test_features_are_scaled_where_they_are_given_and_not_where_a_network_makes_them():
    chosen = combined(parts=("mechanism", "network"), feature_scales=(1.0, 10.0))
    assert [(case.part, case.feature_scale) for case in chosen] == [("mechanism", 1), ("mechanism", 10), ("network", 1)]


def test_fcn_has_no_mechanism_and_is_left_out_among_others():
    assert [case.head for case in combined(names=("fcn", "ccnet"))] == ["ccnet"]
    assert [case.head for case in combined(names=("fcn", "ccnet"), parts=("head",))] == ["fcn", "ccnet"]


def test_heads_with_a_choice_of_forms():
    assert [name for name in heads.names() if not cases.has_forms(name, "faithful")] == ["fcn"]
    assert not cases.has_forms("fcn", "controlled")


def test_fcn_alone_is_refused_with_what_to_ask_for():
    with pytest.raises(ValueError, match="fcn has no mechanism to measure; use --parts head or network"):
        cases.prepare(one(names=("fcn",)), "cpu")


def test_unknown_head_is_told_before_anything_runs():
    with pytest.raises(ValueError, match="did you mean ccnet"):
        combined(names=("ccnett",))


@pytest.mark.parametrize(("stride", "image"), [(8, (769, 521)), (16, (1537, 1041))])
def test_image_of_a_map(stride, image):
    assert cases.image_size((97, 66), stride) == image


def test_map_is_the_last_of_the_backbone():
    assert one(sizes=[(33, 41)]).map_size == (5, 6)


def test_mechanism_is_given_its_real_input():
    prepared = cases.prepare(one(batches=(3,)), "cpu")
    assert (prepared.path, prepared.inputs) == ("attention", ((3, 512, 5, 6),))


def test_head_is_given_four_maps():
    prepared = cases.prepare(one(parts=("head",)), "cpu")
    assert [shape[1:] for shape in prepared.inputs] == [(64, 9, 11), (128, 5, 6), (256, 5, 6), (512, 5, 6)]


@pytest.mark.long("ccnet", "danet", "ocr")
@pytest.mark.parametrize("name", [name for name in heads.names() if name != "fcn"])
def test_gradients_are_of_the_outputs_in_training(name):
    prepared = cases.prepare(one(names=(name,), phases=("training",), batches=(2,)), "cpu")
    assert prepared.gradients
    assert all(shape[0] == 2 for shape in prepared.gradients)


@pytest.mark.parametrize("part", cases.PARTS)
def test_work_is_the_ledgers_for_the_batch(part):
    cost = network_cost("ccnet", input_size=(33, 41), num_classes=3, backbone="resnet18")
    expected = {"mechanism": cost.mechanism, "head": cost.head_total, "network": cost.network}[part]
    work = cases.work(one(parts=(part,), batches=(5,)))
    assert (work.macs, work.flops, work.other) == (5 * expected.macs, 10 * expected.macs, 5 * expected.other)


def test_training_is_three_times_the_forward_pass():
    assert cases.work(one(phases=("training",))).flops == 3 * cases.work(one()).flops


def test_work_is_of_the_equation_whichever_form_runs_but_bytes_are_of_the_form():
    asked = {"names": ("non_local",), "sizes": [(513, 513)]}
    fast, reference = (cases.work(one(**asked, implementations=(form,))) for form in ("fast", "reference"))
    assert fast.macs == reference.macs
    N = 65 * 65
    written_and_read = 4 * 4 * N * N  # the product writes the map, softmax reads and writes it, the product reads it
    assert reference.bytes - fast.bytes > 0.9 * written_and_read  # the fused product wants contiguous copies


@pytest.mark.parametrize("name", [name for name in heads.names() if name != "fcn"])
def test_a_form_never_counts_as_moving_more_than_the_equation(name):
    auto, reference = (cases.work(one(names=(name,), implementations=(form,))) for form in ("auto", "reference"))
    assert auto.bytes <= reference.bytes


def test_half_precision_moves_half_the_bytes():
    assert cases.work(one(dtypes=("bf16",))).bytes == cases.work(one()).bytes // 2


def test_tf32_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match="only NVIDIA GPUs support tf32"):
        cases.prepare(one(dtypes=("tf32",)), "cpu")


def test_a_case_whose_work_cannot_be_counted_is_measured_all_the_same(monkeypatch):
    def uncounted(case):
        raise cases.flops.UncountedOperator("operator mine has no formula")

    monkeypatch.setattr(cases, "work", uncounted)
    prepared = cases.prepare(one(), "cpu")
    assert prepared.work is None
    assert prepared.note == "work not counted: operator mine has no formula"
