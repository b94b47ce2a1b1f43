"""Words of a command that follow an option of any number of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import tyro

from segattn.cli.arguments import parse
from segattn.cli.choose import ChooseArguments
from segattn.cli.commands import COMMANDS, SUBCOMMANDS
from segattn.cli.compare import CompareArguments
from segattn.cli.completion import _taken_by
from segattn.cli.data import PackArguments
from segattn.cli.demo import DemoArguments
from segattn.cli.evaluate import EvaluateArguments
from segattn.cli.export import ExportArguments
from segattn.cli.heads import HeadsArguments
from segattn.cli.maps import MapsArguments
from segattn.cli.options import fields_of, options_of
from segattn.cli.plan.arguments import PlanArguments
from segattn.cli.positionals import OF_OTHERS
from segattn.cli.predict import PredictArguments
from segattn.cli.values import constructor, without_none


@pytest.fixture
def here(tmp_path, monkeypatch, tiny_zoo):
    """A working directory with a study, a run, two records and a photo whose name is a number."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my study").mkdir()
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.json").write_text("{}")
    for name in ("a.json", "measured", "2", "photo.png"):
        (tmp_path / name).write_text("")


def some(kind: type, words: list[str]) -> Any:
    return parse(kind, words, command=kind.__name__.removesuffix("Arguments").lower())


def strings(value: Any) -> Any:
    return [str(each) for each in value] if isinstance(value, tuple) else None if value is None else str(value)


@pytest.mark.parametrize(
    ("kind", "words", "own", "option"),
    [
        (ChooseArguments, "--bench a.json streets", ["streets"], ("bench", ["a.json"])),
        (ChooseArguments, "--bench a.json measured net", ["net"], ("bench", ["a.json", "measured"])),
        (ChooseArguments, "net --bench a.json absent.json runs/x", ["net", "runs/x"], ("bench", ["a.json", "absent.json"])),
        (ChooseArguments, "--bench a.json hf://user/name", ["hf:/user/name"], ("bench", ["a.json"])),
        (ChooseArguments, "--budget 5ms 3MB streets/ccnet", ["streets/ccnet"], ("budget", ["5ms", "3MB"])),
        (PlanArguments, "--bench a.json net", ["net"], ("bench", "a.json")),
        (PlanArguments, "--heads fcn mylab.tenth net", ["net"], ("heads", ["fcn", "mylab.tenth"])),
        (PlanArguments, "--heads fcn dannet", [], ("heads", ["fcn", "dannet"])),
        (CompareArguments, "--heads fcn ccnet runs/quick", ["runs/quick"], ("heads", ["fcn", "ccnet"])),
        (MapsArguments, "--heads ccnet streets", ["streets"], ("heads", ["ccnet"])),
        (DemoArguments, "--heads ccnet danet net", ["net"], ("heads", ["ccnet", "danet"])),
        (EvaluateArguments, "--scales 0.5 1 net", "net", ("scales", ["0.5", "1.0"])),
        (PredictArguments, "--scales 0.5 2 photo.png -o x", ["photo.png"], ("scales", ["0.5", "2.0"])),
        (PredictArguments, "--scales 1 absent.png 2 -o x", ["absent.png", "2"], ("scales", ["1.0"])),
        (ExportArguments, "--calibration photo.png net -o n.onnx", "net", ("calibration", ["photo.png"])),
        (PackArguments, "--splits train val camvid -o x", "camvid", ("splits", ["train", "val"])),
        (HeadsArguments, "--family window scan ccnet", "ccnet", ("family", ["window", "scan"])),
    ],
)  # fmt: skip
def test_words_of_the_command_after_an_option_are_its_own(kind, words, own, option, here):
    chosen = some(kind, words.split())
    field = next(field.name for field, _, notes in fields_of(kind, {}) if tyro.conf.Positional in notes)
    assert strings(getattr(chosen, field)) == own
    assert strings(getattr(chosen, option[0])) == option[1]


def test_a_name_with_spaces(here):
    chosen = some(CompareArguments, ["--heads", "fcn", "ccnet", "my study"])
    assert (chosen.networks, chosen.heads) == (("my study",), ("fcn", "ccnet"))


def test_the_first_word_is_the_options_and_a_typing_error_stays_one(here):
    with pytest.raises(ValueError, match=r"--scales: 'photo\.png' should be a number"):
        some(PredictArguments, ["--scales", "photo.png", "-o", "x"])
    with pytest.raises(ValueError, match="--scales: 'l' should be a number"):
        some(PredictArguments, ["photo.png", "--scales", "0.5", "l", "-o", "x"])


def test_every_option_of_names_or_paths_beside_positional_words_is_known():
    commands = [name for name in COMMANDS if name not in ("data", "convert")]  # which have commands only
    commands += [f"{name} {word}" for name, words in SUBCOMMANDS.items() for word in words]
    for command in commands:
        kind, details = _taken_by(command)
        if not any(tyro.conf.Positional in notes for _, _, notes in fields_of(kind, details)):
            continue
        for names, _, field, plain, notes in options_of(kind, details):
            several = get_origin(without_none(plain)) is tuple and constructor(plain).nargs == "*"
            if several and get_args(without_none(plain))[0] in (str, Path) and tyro.conf.UseAppendAction not in notes:
                assert field.name in OF_OTHERS, (command, names)
