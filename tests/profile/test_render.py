"""The four formats of a ledger."""

import csv
import io
import json

import pytest
import torch
from torch import nn

from segattn.profile.flops import count
from segattn.profile.render import CONVENTIONS, quantity, render


@pytest.fixture(scope="module")
def ledger():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 7, bias=False), nn.ReLU()), nn.Flatten()).to("meta")
    return count(net, torch.empty(1, 3, 17, 19, device="meta"))


MACS = 3 * 7 * 7 * 5 * 11 * 13


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_text_names_convention_module_and_operator(ledger, format):
    text = render(ledger, format, depth=1)
    for part in ("105.105 k", "210.210 k", "211.640 k", "convolution", "relu", "(network)", *CONVENTIONS.values()):
        assert part in text
    assert "0.0" not in text
    assert "views, allocations): view" in text


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_depth_opens_modules(ledger, format):
    assert "0.0" in render(ledger, format, depth=2)


def test_one_convention_has_one_column(ledger):
    text = render(ledger, "table", convention="flops")
    assert "210.210 k" in text
    assert "105.105 k" not in text
    assert "macs" not in text.splitlines()[0]


def test_other_is_always_a_column(ledger):
    for convention in ("macs", "flops", "study"):
        assert " other " in render(ledger, "table", convention=convention).splitlines()[0]


def test_csv_has_exact_figures_per_module_and_operator(ledger):
    lines = list(csv.DictReader(io.StringIO(render(ledger, "csv", depth=None))))
    assert [(line["module"], line["operator"]) for line in lines] == [
        ("0.0", "convolution"),
        ("0.1", "relu"),
        ("1", "view"),
    ]
    assert int(lines[0]["macs"]) == MACS
    assert int(lines[0]["study"]) == 2 * (MACS + 5 * 143)
    assert sum(int(line["other"]) for line in lines) == 5 * 143


def test_json_says_what_its_figures_mean(ledger):
    document = json.loads(render(ledger, "json", depth=1, convention="study"))
    assert set(document["conventions"]) == {"study", "other"}
    assert [module["module"] for module in document["modules"]] == ["", "0", "1"]
    assert document["modules"][0]["study"] == 2 * (MACS + 5 * 143)
    assert document["modules"][0]["parameters"] == 735
    assert "macs" not in document["modules"][0]


def test_markdown_columns_are_as_many_as_headings(ledger):
    table = [line for line in render(ledger, "markdown").splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table[:4]}) == 1


def test_unknown_words_are_errors_that_list_the_known(ledger):
    with pytest.raises(ValueError, match="table, csv, json, markdown"):
        render(ledger, "xml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="macs, flops, study, all"):
        render(ledger, "table", convention="gflops")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (1000, "1.000 k"), (616_628_224, "616.628 M"), (2 * 10**12, "2.000 T")]
)
def test_quantity(value, text):
    assert quantity(value) == text


def test_quantity_with_a_unit():
    assert quantity(5, "B") == "5 B"
    assert quantity(5_000, "B") == "5.000 kB"
