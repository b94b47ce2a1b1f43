"""What docs/clusters.md tells to type is what the commands take, and its states are those of the command."""

import contextlib
import io
import re

import pytest

from segattn.cli import main
from segattn.study.status import STATES
from tests.places import ROOT

PAGE = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")


@pytest.fixture
def options(monkeypatch):
    """Every option of study and its commands, as --help-all names them."""
    monkeypatch.setenv("COLUMNS", "200")
    known = {"--help", "--help-all"}
    for command in (["study", "scratch"], ["study", "status"], ["study", "cancel"], ["study", "collect"]):
        with contextlib.redirect_stdout(io.StringIO()) as shown, pytest.raises(SystemExit):
            main([*command, "--help-all"])
        known |= set(re.findall(r"--[a-z][a-z0-9._-]*", shown.getvalue()))
    return known


def test_every_option_of_the_page_exists(options):
    ours = re.sub(r"`ray start [^`]*`", "", PAGE)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", ours))
    assert len(named) > 20
    assert named <= options


def test_page_explains_every_state():
    assert {state for state in STATES if f"\n| {state} | " in PAGE} == set(STATES)
