"""The command behind the oracles' table of docs/verification.md."""

import pytest

from segattn import heads
from tests.heads import compare_oracles
from tests.heads.compare_oracles import CASES, has_numeric_gradients


def named(value):
    return value if isinstance(value, str) else value.name


def test_every_mechanism_is_measured():
    assert {case.head for case in CASES} == set(heads.names()) - {"fcn"}  # which has none


@pytest.mark.slow
@pytest.mark.parametrize(("case", "form"), [(case, form) for case in CASES for form in case.forms], ids=named)
def test_gradients_of_inputs_and_parameters_are_the_numeric_ones(case, form):
    assert has_numeric_gradients(case, form)


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
