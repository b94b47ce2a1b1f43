"""`bench --checkpoint` and `flops --checkpoint`: networks as their config.json says."""

import json

import pytest

from segattn.cli import bench, main, trained
from segattn.cost import network_cost
from segattn.records.bench import Result
from segattn.report.bench.groups import Group, Line, setting

pytestmark = pytest.mark.slow


def cases(*arguments):
    return bench._cases(bench.parse(bench.BenchArguments, arguments, command="bench", description=""))


def test_flops_of_a_run_are_those_of_its_options_at_its_size(tiny_runs, capsys):
    assert main(["flops", "--checkpoint", str(tiny_runs[1]), "--format", "json"]) == 0
    (cost,) = json.loads(capsys.readouterr().out)
    (network,) = trained.read([tiny_runs[1]], ())
    assert cost["head"] == str(tiny_runs[1])
    assert tuple(cost["input_size"]) == network.size
    expected = network_cost("ccnet", input_size=network.size, **network.described())
    assert cost["network"]["macs"] == expected.network.macs
    assert expected.network.parameters < 1e6 < network_cost("ccnet", input_size=(65, 65)).network.parameters


def test_a_study_and_the_zoo_are_their_networks_each_once(tiny_runs, tiny_zoo):
    study = tiny_runs[0].parent
    assert [one.name for one in trained.read([study, tiny_runs[0]], ())] == sorted(map(str, tiny_runs))
    zoo = {case.network: case for case in cases("--checkpoint", "streets")}
    assert list(zoo) == ["streets/fcn", "streets/ccnet", "streets/emanet"]
    assert {case.part for case in zoo.values()} == {"network"}
    assert zoo["streets/ccnet"].input_size == (32, 64)  # of its scenes


def test_forms_are_lines_of_one_table(tiny_zoo):
    chosen = cases("--checkpoint", "streets/ccnet", "--forms", "eager", "optimized", "--input", "33", "65x33")
    assert [(case.form, case.input_size) for case in chosen] == [
        (form, size) for size in ((33, 33), (65, 33)) for form in ("eager", "optimized")
    ]
    assert len({setting(case) for case in chosen}) == 2
    group = Group("", tuple(Line(Result(case=case, outcome="ok"), None, None) for case in chosen[:2]))
    assert group.has_forms
    assert [group.form(line.case) for line in group.lines] == ["eager", "optimized"]


def test_all_forms_are_those_possible_here(monkeypatch, tiny_zoo, capsys):
    from segattn.inference import forms

    monkeypatch.setattr(forms, "missing", lambda form, device: "" if form in ("eager", "onnx") else f"no {form} here")
    assert [case.form for case in cases("--checkpoint", "streets/fcn", "--forms", "all")] == ["eager", "onnx"]
    assert "left out: no inductor here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "--checkpoint", "nowhere"], "nowhere is not a folder; give the folder of a finished run"),
        (["bench", "--checkpoint", "streets", "--heads", "ccnet"], "--heads is decided by --checkpoint; leave it out"),
        (["bench", "--checkpoint", "streets", "--backbone", "resnet18"], "--backbone is decided by --checkpoint"),
        (["bench", "--allow-module", "mylab"], "--allow-module is for --checkpoint"),
        (["bench", "--forms", "onnx", "--parts", "head"], "--forms are of whole networks at inference"),
        (["bench", "--forms", "onnx", "--passes", "training"], "--forms are of whole networks at inference"),
        (["bench", "--forms", "onnx", "--precision", "bf16"], "--precision is decided by --forms"),
        (["bench", "--forms", "all", "eager"], "--forms all already names every form"),
        (["flops", "--checkpoint", "streets", "--num-classes", "5"], "--num-classes is decided by --checkpoint"),
        (["flops", "--checkpoint", "streets", "--operators"], "--operators is for --heads or --module"),
        (["flops", "--checkpoint", "streets", "--module", "a.B"], "--checkpoint is for the heads of segattn"),
        (["flops", "--allow-module", "mylab"], "--allow-module is for --checkpoint"),
    ],
)
def test_mistakes_are_told(arguments, said, tiny_zoo, capsys):
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
