"""The command behind the oracles' table of docs/verification.md."""

import pytest

from segattn import heads
from tests.heads import compare_oracles
from tests.heads.compare_oracles import CASES, apart, gradients_of, has_numeric_gradients, inputs


def named(value):
    return value if isinstance(value, str) else value.name


EACH = [
    # of two forms the fast one by default: the next test holds the gradients of the other against it
    pytest.param(case, form, marks=[pytest.mark.long] if form != case.forms[-1] else [])
    for case in CASES
    for form in case.forms
]


def test_every_mechanism_is_measured():
    assert {case.head for case in CASES} == set(heads.names()) - {"fcn"}  # which has none


@pytest.mark.slow
@pytest.mark.parametrize(("case", "form"), EACH, ids=named)
def test_gradients_of_inputs_and_parameters_are_the_numeric_ones(case, form):
    assert has_numeric_gradients(case, form)


@pytest.mark.parametrize("case", [case for case in CASES if len(case.forms) > 1], ids=named)
def test_both_forms_have_the_same_gradients(case):
    tensors = inputs(case.maps)
    reference, fast = (gradients_of(case.mechanism(form, case.maps[0][0]), tensors) for form in case.forms)
    assert len(reference) == len(fast)
    assert max(map(apart, reference, fast)) < 1e-9


@pytest.mark.slow
def test_command_replaces_the_table_between_the_markers(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- oracles: begin -->\nold\n<!-- oracles: end -->\nafter\n")
    compare_oracles.main(["--heads", "ccnet", "--write", str(page)])
    text = page.read_text()
    assert text.startswith("before\n<!-- oracles: begin -->")
    assert text.endswith("<!-- oracles: end -->\nafter\n")
    assert "old" not in text
    assert text.split("begin -->\n\n")[1].split("\n\n<!-- oracles")[0] in capsys.readouterr().out
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ccnet")]
    assert [row[0] for row in rows] == ["| ccnet, R = 1", "| ccnet, R = 2"]
    for _, reference, fast, single, fast_single, between, numeric, _ in rows:
        assert max(float(reference), float(fast), float(between)) < 1e-9
        assert max(float(single), float(fast_single)) < 1e-4
        assert numeric == "agree, agree"


def test_wrong_mechanism_shows(monkeypatch):
    case = next(case for case in CASES if case.head == "ccnet")
    monkeypatch.setattr("segattn.heads.ccnet.CrissCross.forward", lambda self, x: x + self.value(x))
    measured = compare_oracles.measure(case)
    assert min(measured.float64.values()) > 0.01
