"""What the heads declare about their mechanisms, and that it is so."""

import dataclasses
import math

import pytest
import torch

from segattn import heads, records
from segattn.cost import baselines_first, head_facts
from segattn.profile import flops
from segattn.records.head_facts import FAMILIES, by_family

ATTENDING = [name for name in heads.names() if not head_facts(name).baseline]
TENTH = """
from torch import nn

class Spectral(nn.Module):
    gates = ["scale"]
    map_kinds = {"spectrum": "half_grid"}
    main_map = "magnitude"

class Head(nn.Module):
    loss_weights = {"out": 1.0}
    Mechanism = Spectral
    family = "frequency"
    main_map = "spectrum"

    def __init__(self, in_channels, num_classes):
        super().__init__()

    def forward(self, features):
        raise NotImplementedError("nothing is built for the facts")
"""


@pytest.mark.parametrize("name", heads.names())
def test_every_head_declares_a_family_that_is_explained(name):
    assert head_facts(name).family in FAMILIES


def test_every_family_has_a_head():
    families = {name: head_facts(name).family for name in heads.names()}
    assert set(families.values()) == set(FAMILIES)
    assert (families["ccnet"], families["isanet"], families["emanet"]) == ("criss-cross", "grouped", "basis")
    assert (families["neighborhood"], families["ss2d"], families["hamburger"]) == ("window", "scan", "low-rank")


def test_families_are_listed_in_one_order_and_unknown_ones_last():
    assert by_family([*reversed(FAMILIES), "spectral", "other"]) == [*FAMILIES, "other", "spectral"]
    assert by_family([]) == []


def test_the_one_baseline_is_the_head_without_a_mechanism():
    baselines = [name for name in heads.names() if head_facts(name).baseline]
    assert baselines == ["fcn"]
    with torch.device("meta"):
        attention = heads.create("fcn", (8, 8, 8, 8), 2).attention
    assert list(attention.parameters()) == []


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("name", heads.names())
def test_gates_are_the_scalars_and_norm_scales_that_start_at_0_and_no_others(name, mode):
    choices = [{"preset": "mmseg"}, {"preset": "official"}] if name == "dnlnet" else [{}]  # each has a gate of its own
    start = [
        (path, value)
        for options in choices
        for path, value in heads.create(
            name, (8, 8, 8, 8), 3, mode=mode, channels=16, **options
        ).attention.named_parameters()
        if not value.any()
    ]
    scaling = [path for path, value in start if value.ndim == 0 or path.endswith("bn.weight")]
    gates = head_facts(name, mode).gates
    assert all(any(path.endswith(gate) for gate in gates) for path in scaling)
    assert all(any(path.endswith(gate) for path in scaling) for gate in gates)


@pytest.mark.parametrize("name", ATTENDING)
def test_maps_of_a_declared_kind_are_maps_that_the_head_gives(name):
    head = heads.create(name, (8, 8, 8, 8), 3, channels=16).eval()
    with torch.no_grad():
        maps = head.attention_maps([torch.randn(1, 8, 9, 13) for _ in range(4)], (1, 2))
    facts = head_facts(name)
    assert set(facts.map_kinds) <= set(maps)
    assert facts.main_map in ("", *maps)


@pytest.fixture(scope="module")
def ledgers():
    """Each mechanism on maps of 8192 and 16384 squared, on meta."""
    counted = {}
    for name in ATTENDING:
        with torch.device("meta"):
            module = heads.create(name, (64, 128, 256, 512), 3, mode="controlled").attention.eval()
            for child in module.modules():
                if hasattr(child, "implementation"):
                    child.implementation = vars(type(child)).get("counted_as", "reference")
            counted[name] = [flops.count(module, torch.empty(1, 512, side, side)) for side in (2**13, 2**14)]
    return counted


@pytest.mark.parametrize("name", ATTENDING)
def test_growth_of_time_is_what_the_ledger_tends_to(name, ledgers):
    small, large = (ledger.total().macs for ledger in ledgers[name])
    assert math.log(large / small, 4) == pytest.approx(head_facts(name).growth[0], abs=0.03)


@pytest.mark.parametrize("name", ["non_local", "dnlnet", "danet", "denoised_nl", "isanet", "ccnet", "star", "flanet"])
def test_growth_of_memory_is_that_of_the_largest_softmax(name, ledgers):
    def maps(ledger):
        return max(row.activation_bytes / row.calls for row in ledger.rows if row.operator == "_softmax")

    small, large = map(maps, ledgers[name])
    assert math.log(large / small, 4) == pytest.approx(head_facts(name).growth[1], abs=0.03)


@pytest.fixture
def tenth(tmp_path, monkeypatch):
    (tmp_path / "laboratory").mkdir()
    (tmp_path / "laboratory" / "__init__.py").touch()
    (tmp_path / "laboratory" / "spectral.py").write_text(TENTH)
    monkeypatch.syspath_prepend(tmp_path)
    return "laboratory.spectral"


def test_a_head_of_ones_own_declares_on_itself_or_its_mechanism_and_has_defaults_for_the_rest(tenth):
    assert head_facts(tenth) == records.HeadFacts(
        family="frequency", gates=("scale",), map_kinds={"spectrum": "half_grid"}, main_map="spectrum"
    )


def test_unknown_heads_and_modes_are_refused():
    with pytest.raises(ValueError, match="did you mean ccnet"):
        head_facts("ccnett")
    with pytest.raises(ValueError, match="unknown mode 'fair'; use one of faithful, controlled"):
        head_facts("ccnet", "fair")


def test_baselines_stand_first_and_the_others_by_name():
    assert baselines_first(heads.names()) == ["fcn", *sorted(set(heads.names()) - {"fcn"})]


def test_facts_survive_the_file_of_a_record(tmp_path):
    from tests.records.test_files import RUN, STUDY

    facts = head_facts("danet")
    for record in (
        dataclasses.replace(RUN, head_facts=facts),
        dataclasses.replace(STUDY, head_facts={"danet": facts, "fcn": head_facts("fcn")}),
    ):
        assert records.read(records.write(record, tmp_path / "record.json")) == record
