"""What docs/training.md tells to type is what the commands take."""

import contextlib
import io
import re

import pytest

from segattn.cli import main
from tests.places import ROOT

PAGE = ROOT / "docs/training.md"


@pytest.fixture
def options(monkeypatch):
    """Every option of train, study, evaluate and three data commands, as --help-all names them."""
    monkeypatch.setenv("COLUMNS", "200")
    found = {"--help", "--help-all"}
    for command in (
        ["train", "cityscapes"],
        ["study", "cityscapes"],
        ["evaluate"],
        ["data", "make"],
        ["data", "features", "cityscapes"],
        ["data", "check"],
    ):
        with contextlib.redirect_stdout(io.StringIO()) as shown, pytest.raises(SystemExit):
            main([*command, "--help-all"])
        found |= set(re.findall(r"--[a-z][a-z0-9.-]*", shown.getvalue()))
    return found


def test_every_option_of_the_page_exists(options):
    ours = re.sub(r"(torchrun|accelerate launch)[^\n]*? -m segattn", "segattn", PAGE.read_text())
    ours = re.sub(r"`accelerate launch`[^.]*\.", "", ours)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", ours))
    assert len(named) > 25
    assert named <= options
