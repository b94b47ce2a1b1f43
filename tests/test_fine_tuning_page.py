"""The commands of docs/fine_tuning.md, run as written in an empty folder."""

import re
import shlex

import pytest
from safetensors.torch import load_file

from segattn import records
from segattn.cli import main
from tests.places import ROOT

PAGE = (ROOT / "docs/fine_tuning.md").read_text(encoding="utf-8")


def commands():
    """The words of each command, with the values of the variables that the page sets."""
    variables = {}
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for name, value in variables.items():
                line = line.replace(f"${name}", value)
            if match := re.fullmatch(r'([A-Z]+)="(.*)"', line):
                variables[match[1]] = match[2]
            else:
                yield shlex.split(line)


@pytest.mark.slow
def test_the_commands_of_the_page_run_and_print_what_it_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shown = re.search(r"```text\n(Start from .*?)```", PAGE, flags=re.DOTALL)[1]
    printed = {}
    for program, *words in commands():
        assert program == "segattn"
        extra = ["--device", "cpu"] if words[0] in ("train", "evaluate", "predict") else []
        assert main([*words, *extra]) in (None, 0), words
        printed[" ".join(words)] = capsys.readouterr().out
    (start,) = (text for words, text in printed.items() if words.endswith("--out runs/mine"))
    assert shown in start
    record = records.read("runs/mine/record.json")
    assert (record.iterations, len(record.start.classes)) == (6, 6)
    assert record.earlier_settings[0].settings == {"optimization.iterations": 3}
    theirs, frozen = load_file("runs/theirs/model.safetensors"), load_file("runs/frozen/model.safetensors")
    assert all(
        (frozen[name] == theirs[name]).all() for name in theirs if re.match(r"backbone\.(stem|layer[12])\.", name)
    )
    assert (frozen["backbone.layer4.0.conv1.weight"] != theirs["backbone.layer4.0.conv1.weight"]).any()
    assert len(list((tmp_path / "labels").iterdir())) > 0


def test_every_option_and_file_that_the_page_names_is_one():
    text = " ".join(" ".join(words) for words in commands())
    assert {"--init-from", "--optimization.freeze", "--optimization.lr-factors", "--extend-to"} <= set(text.split())
