"""What other counters say; those that are not installed, or broken, are skipped."""

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segattn.profile import other_counters
from segattn.profile.flops import count
from segattn.profile.other_counters import cross_check
from segattn.profile.recording import record


class Small(nn.Module):
    """One of each: layers with and without bias, a layer's work by function, products by operator and by name."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3, bias=False)
        self.second = nn.Conv2d(5, 7, 1)
        self.bn = nn.BatchNorm2d(7)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        x = self.bn(self.second(self.first(x)))  # (1, 7, 11, 13)
        y = x.flatten(2)  # (1, 7, 143)
        a = (y @ y.transpose(1, 2)).softmax(dim=2)
        y = torch.einsum("bcd,bdn->bcn", a, y)
        return F.interpolate(x + self.gamma * y.view_as(x), size=(17, 19), mode="bilinear")


N = 11 * 13
FIRST, SECOND, PRODUCT = N * 3 * 9 * 5, N * 5 * 7, 7 * 7 * N


def meta(module, *shape):
    return module.to("meta").eval(), torch.empty(*shape, device="meta")


def small():
    return meta(Small(), 1, 3, 13, 15)


def read(counter):
    (reading,) = cross_check(*small(), counters=[counter])
    if reading.figure is None:
        pytest.skip(f"{counter} {reading.problem}")
    return reading, {term.kind: term for term in reading.terms}


def test_recording_names_every_call_that_costs():
    kinds = {call.kind for call in record(*small())}
    assert kinds == {"Conv2d", "BatchNorm2d", "@", "softmax", "einsum", "*", "+", "interpolate"}


def test_recording_adds_up_to_the_ledger():
    calls, total = record(*small()), count(*small()).total()
    assert sum(call.calls * call.macs for call in calls) == total.macs == FIRST + SECOND + 2 * PRODUCT
    assert sum(call.calls * call.other for call in calls) == total.other


def test_recording_joins_calls_that_are_alike():
    net = nn.Sequential(*(nn.Conv2d(5, 5, 3, padding=1) for _ in range(7)), nn.Conv2d(5, 5, 1))
    assert sorted(call.calls for call in record(*meta(net, 1, 5, 11, 13))) == [1, 7]


def test_operator_and_method_of_the_same_product_are_told_apart():
    class Both(nn.Module):
        def forward(self, x):
            return (x @ x).matmul(x)

    assert [call.kind for call in record(*meta(Both(), 5, 5))] == ["@", "matmul"]


def test_torch_counts_two_per_multiply_add_and_nothing_else():
    reading, terms = read("torch")
    assert reading.figure == 2 * count(*small()).total().macs
    assert reading.unit == 2
    assert reading.differences() == []
    assert terms["Conv2d"].reason == terms["@"].reason == terms["einsum"].reason == "2 per multiply-add"


@pytest.mark.parametrize("counter", list(other_counters.UNITS))
def test_differences_lead_from_our_figure_to_theirs(counter):
    reading, _ = read(counter)
    amounts = sum(amount for _, amount in reading.differences())
    assert reading.unit * count(*small()).total().macs + amounts == reading.figure


def test_fvcore_counts_products_and_norms_but_no_bias():
    reading, terms = read("fvcore")
    assert reading.unit == 1
    assert terms["@"].figure == PRODUCT
    assert terms["einsum"].figure == pytest.approx(PRODUCT, rel=1e-3)  # its einsum figure has four digits
    assert terms["Conv2d"].figure == FIRST + SECOND
    assert terms["BatchNorm2d"].figure == 2 * 7 * N
    assert terms["softmax"].reason == "not seen"


@pytest.mark.parametrize("counter", ["thop", "torchinfo"])
def test_counters_of_layers_do_not_see_products_of_tensors(counter):
    _, terms = read(counter)
    assert terms["@"].reason == terms["einsum"].reason == "not seen"
    assert terms["Conv2d"].figure >= FIRST + SECOND


def test_torchinfo_counts_a_bias_and_a_norm_by_its_parameters():
    _, terms = read("torchinfo")
    assert terms["Conv2d"].figure == FIRST + SECOND + 7 * N
    assert terms["Conv2d"].reason == "1 per multiply-add, bias counted"
    assert terms["BatchNorm2d"].reason == "its number of parameters, once per sample"


def test_ptflops_sees_matmul_by_name_but_not_by_operator():
    class Named(nn.Module):
        def forward(self, x):
            return torch.matmul(x, x) @ x

    (reading,) = cross_check(*meta(Named(), 5, 5), counters=["ptflops"])
    if reading.figure is None:
        pytest.skip(f"ptflops {reading.problem}")
    assert {term.kind: term.reason for term in reading.terms} == {"matmul": "1 per multiply-add", "@": "not seen"}


def test_counter_that_is_not_installed_is_reported(monkeypatch):
    monkeypatch.setitem(other_counters.UNITS, "no-such-counter", "FLOPs")
    (reading,) = cross_check(*small(), counters=["no-such-counter"])
    assert (reading.figure, reading.problem) == (None, "not installed; pip install no-such-counter")


def test_counter_that_fails_is_reported_and_the_rest_goes_on(monkeypatch):
    pytest.importorskip("fvcore")
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)  # importing it raises
    broken, torchs = cross_check(*small(), counters=["fvcore", "torch"])
    assert broken.figure is None
    assert "fails: " in broken.problem
    assert torchs.figure == 2 * (FIRST + SECOND + 2 * PRODUCT)


def test_unknown_counter_is_an_error_that_names_the_known():
    with pytest.raises(
        ValueError, match="unknown counter 'calflops'; known are torch, fvcore, ptflops, thop, torchinfo"
    ):
        cross_check(*small(), counters=["calflops"])


def test_module_is_left_as_it_was():
    module, x = small()
    before = [name for name, _ in module.named_buffers()]
    cross_check(module, x)
    assert [name for name, _ in module.named_buffers()] == before
    assert all(tensor.is_meta for tensor in module.parameters())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())


class Rounds(nn.Module):
    """Five rounds of a product and an element operation, as in an iteration, and a step of a scan, without a product."""

    def forward(self, x):
        state = torch.zeros_like(x)
        for _ in range(5):
            x = (x @ x).relu()
            state = x.exp() * state + x
        return state


def unseen(counter, module=Rounds, shape=(7, 7)):
    (reading,) = cross_check(*meta(module(), *shape), counters=[counter])
    if reading.figure is None:
        pytest.skip(f"{counter} {reading.problem}")
    return {term.kind: (term.calls, term.macs, term.other) for term in reading.unseen()}


@pytest.mark.parametrize("counter", ["ptflops", "thop", "torchinfo"])
def test_counters_of_layers_see_neither_rounds_of_products_nor_a_scan(counter):
    missed = unseen(counter)
    assert next(iter(missed)) == "@"  # multiply-adds first
    assert missed["@"] == (5, 5 * 7**3, 0)
    assert missed["exp"][:2] == missed["*"][:2] == missed["+"][:2] == (5, 0)
    assert missed["*"][2] == missed["+"][2] == 5 * 49


@pytest.mark.parametrize("counter", ["torch", "fvcore"])
def test_counters_of_operators_see_products_but_no_scan(counter):
    missed = unseen(counter)
    assert "@" not in missed
    assert {"exp", "*", "+"} <= set(missed)


def test_a_heads_scan_is_unseen_by_every_counter():
    from segattn.heads.ss2d import SelectiveScan2d

    module, x = meta(SelectiveScan2d(16), 1, 16, 5, 7)
    states = 28 * 35 * 16  # element operations of the states, from the head's docstring: 28 N E S
    for reading in cross_check(module, x, counters=["torch", "thop", "torchinfo"]):
        if reading.figure is not None:
            assert sum(term.other for term in reading.unseen() if not term.macs) > states, reading.counter


def test_a_head_that_a_counter_cannot_record_says_so_without_advice_for_others():
    pytest.importorskip("fvcore")
    from segattn.heads.ss2d import SelectiveScan2d

    (reading,) = cross_check(*meta(SelectiveScan2d(16), 1, 16, 5, 7), counters=["fvcore"])
    assert reading.problem == (
        "fails: ValueError: a selective scan cannot be recorded by torch.jit.trace or torch.onnx.export(dynamo=False), "
        "which would keep the size of its maps as a constant"
    )


class BrokenTorchvision:
    """Finds a torchvision whose compiled part does not load."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")


def test_ptflops_counts_beside_a_torchvision_that_does_not_import(monkeypatch):
    pytest.importorskip("ptflops")
    for name in list(sys.modules):
        if name.partition(".")[0] in ("ptflops", "torchvision"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [BrokenTorchvision(), *sys.meta_path])
    (reading,) = cross_check(*meta(nn.Conv2d(3, 5, 1, bias=False), 1, 3, 7, 11), counters=["ptflops"])
    assert (reading.problem, reading.figure) == (None, 7 * 11 * 3 * 5)
    assert "torchvision" not in sys.modules
