"""Old names: every entry of the table works, says so once, and leads to an option that exists."""

import re
from dataclasses import field, make_dataclass

import pytest

from segattn import __version__
from segattn.cli import bench, compare, convert, data, demo, evaluate, flops, maps, plan, predict, study
from segattn.cli.data import checking
from segattn.cli.experiment_options import DETAILS, ExperimentOptions
from segattn.cli.old_names import OLD_NAMES, OLD_SIZES, UNTIL, current
from segattn.cli.options import arity
from tests import tiny

Study = make_dataclass(
    "Study",
    [("config", ExperimentOptions, field(default=tiny.experiment()))],
    bases=(study.StudyArguments,),
    frozen=True,
)
ARGUMENTS = {
    "study": Study,
    "evaluate": evaluate.EvaluateArguments,
    "predict": predict.PredictArguments,
    "maps": maps.MapsArguments,
    "demo": demo.DemoArguments,
    "flops": flops.FlopsArguments,
    "bench": bench.BenchArguments,
    "plan": plan.PlanArguments,
    "compare": compare.CompareArguments,
    "data prepare": data.PrepareArguments,
    "data make": data.MakeArguments,
    "data check": checking.CheckArguments,
    "data pack": data.PackArguments,
    "convert mmseg": convert.FromMmseg,
    "convert to-mmseg": convert.ToMmseg,
}
RENAMED = [(command, old, now) for command, names in OLD_NAMES.items() for old, now in names.items()]
OPTIONS = [entry for entry in RENAMED if entry[1].startswith("-")]


def words_of(command, *words):
    return current(words, command=command, arity=arity(ARGUMENTS[command], DETAILS))


@pytest.mark.parametrize(("command", "old", "now"), OPTIONS, ids=" ".join)
def test_old_name_is_replaced_with_a_notice(command, old, now, capsys):
    option = now.startswith("--")
    assert words_of(command, "x", old, "5") == (["x", now, "5"] if option else ["5", "x"])
    what = f"{old} is now {now}" if option else f"{old} {now} is now segattn {command} {now}, without an option"
    assert capsys.readouterr().err == f"segattn: {what}; the old name works until {UNTIL}\n"
    assert words_of(command, f"{old}=5", f"{old}=6") == ([f"{now}=5", f"{now}=6"] if option else ["6", "5"])
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("command", "old", "now"), RENAMED, ids=" ".join)
def test_new_name_exists_and_the_old_one_does_not(command, old, now):
    options = arity(ARGUMENTS[command], DETAILS)
    assert not now.startswith("--") or now in options
    assert old not in options or (command, old) == ("study", "--head")  # hidden there, see below


def test_every_command_with_old_names_is_tested():
    assert ARGUMENTS.keys() == OLD_NAMES.keys()


def test_notice_as_it_is_printed(capsys):
    assert words_of("plan", "--dtype", "bf16") == ["--precision", "bf16"]
    assert capsys.readouterr().err == "segattn: --dtype is now --precision; the old name works until 0.3\n"


@pytest.mark.parametrize("command", ["convert mmseg", "convert to-mmseg"])
@pytest.mark.parametrize("words", [["a", "b"], ["a", "-o", "b"], ["-o", "b", "a"]])
def test_second_word_of_convert_was_the_output(command, words, capsys):
    assert words_of(command, *words) in (["a", "--out", "b"], ["a", "-o", "b"])
    notice = f"segattn: segattn {command} IN OUT is now segattn {command} IN -o OUT; the old form works until {UNTIL}\n"
    assert capsys.readouterr().err == (notice if words == ["a", "b"] else "")


@pytest.mark.parametrize("option", OLD_SIZES)
def test_size_of_two_words_is_put_into_one(option, capsys):
    assert words_of("study", option, "24", "40", "--flop") == [option, "24x40", "--flop"]
    assert f"{option} HEIGHT WIDTH is now {option} 24x40; two words work until {UNTIL}" in capsys.readouterr().err
    assert words_of("study", option, "24x40") == [option, "24x40"]
    assert words_of("study", option, "24", "--seeds", "3") == [option, "24", "--seeds", "3"]
    assert capsys.readouterr().err == ""


def test_maps_took_several_folders_and_predict_one():
    assert words_of("maps", "--checkpoint", "a", "b", "--image", "c") == ["a", "b", "--image", "c"]
    assert words_of("predict", "--checkpoint", "a", "b.png") == ["a", "b.png"]


def test_underscores_and_equal_signs_are_read_too(capsys):
    assert words_of("bench", "--num_classes", "5", "--dtypes=bf16", "--batch", "2", "4") == [
        "--num-classes", "5", "--precision=bf16", "--batch-size", "2", "4",
    ]  # fmt: skip
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_only_the_first_process_prints(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert words_of("study", "--head", "ccnet") == ["--heads", "ccnet"]
    assert capsys.readouterr().err == ""


def test_old_names_end_with_a_version_to_come():
    number = [int(part) for part in re.findall(r"\d+", __version__)[:2]]
    assert number < [int(part) for part in UNTIL.split(".")], "remove the old names, they were promised until here"
