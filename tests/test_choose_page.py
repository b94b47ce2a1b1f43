"""The commands of docs/choose.md, run as written in an empty folder."""

import re
import shlex

import pytest

from segattn import records
from segattn.cli import main
from segattn.inference.forms import FORMS
from segattn.profile import limits
from tests.places import ROOT

PAGE = (ROOT / "docs/choose.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]


@pytest.mark.slow
def test_the_commands_lead_from_nothing_to_a_choice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(limits, "product_size", lambda dtype, device: 64)
    monkeypatch.setattr(limits, "copy_size", lambda device: 2**20)
    printed = {}
    for program, *words in COMMANDS:
        assert program == "segattn"
        quick = ["--threads", "1", "--rounds", "1", "--warmup", "0"] if words[0] == "bench" else []
        assert main([*words, *quick]) == 0, words
        printed[" ".join(words)] = capsys.readouterr().out
    choices = [text.splitlines()[-1] for words, text in printed.items() if words.startswith("choose")]
    assert len(choices) == 5
    assert all(re.match(r"Chosen: streets/\w+.*, \d\d\.\d\d % mIoU, ", line) for line in choices)
    assert {result.case.form for result in records.read("forms.json").results} == {"eager", "optimized"}
    assert re.search(r"^fcn +resnet18 +8 +[\d.,]+", printed[" ".join(COMMANDS[-1][1:])], re.MULTILINE)


def test_the_table_has_every_form():
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(rows))) == sorted(FORMS)
