"""`segattn zoo`."""

from dataclasses import replace

import pytest

from segattn import zoo
from segattn.cli import main
from segattn.zoo import card


@pytest.mark.usefixtures("tiny_zoo")
def test_table_has_every_network_with_its_figures(capsys):
    assert main(["zoo"]) == 0
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if "/" in line.partition(" ")[0]}
    assert list(rows) == zoo.names()
    entry = zoo.find("streets-local/ccnet-faithful")
    assert rows[entry.name] == [
        *("ccnet", "faithful", card.percent(entry.mean_iou), card.megabytes(entry.own_bytes)),
        *("0", card.millions(entry.parameters)),
    ]
    assert rows["streets/fcn"][3] == "0.00"  # it is the trunk
    assert "streets-local: receptive field 311 px" in shown
    assert "  ccnet, emanet: segattn train tiny --head HEAD --mode controlled --seed 0" in shown


def test_longest_names_and_figures_fit_a_terminal(tiny_zoo, monkeypatch, capsys):
    (entry,) = zoo.networks("streets-local/ccnet-faithful")
    longest = replace(
        entry,
        name="streets-local/denoised_nl-faithful",
        head="denoised_nl",
        mode="controlled",
        mean_iou=0.7251,
        head_parameters=12_345_678,
        head_file=replace(entry.head_file, size_bytes=1_234_567),
        command="segattn train streets-local --model.head denoised_nl --data.name packed --data.root runs/streets-packed",
    )
    monkeypatch.setattr(zoo, "networks", lambda name: [longest])
    assert main(["zoo"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "streets-local/denoised_nl-faithful denoised_nl controlled   72.5 1.23    0 12.52" in shown
    assert "segattn train streets-local --model.head HEAD --data.name packed" in " ".join(shown.split())


@pytest.mark.usefixtures("tiny_zoo")
def test_card_of_a_network_and_cards_of_a_trunk(capsys):
    assert main(["zoo", "streets/ccnet"]) == 0
    assert capsys.readouterr().out == card.text(zoo.find("streets/ccnet")) + "\n"
    assert main(["zoo", "streets"]) == 0
    shown = capsys.readouterr().out
    for name in ("streets/fcn", "streets/ccnet", "streets/emanet"):
        assert card.text(zoo.find(name)) in shown


@pytest.mark.usefixtures("tiny_zoo")
def test_unknown_network_is_answered_with_the_nearest(capsys):
    assert main(["zoo", "streets/cnet"]) == 2
    assert "unknown network 'streets/cnet'; did you mean streets/ccnet" in capsys.readouterr().err


def test_installation_without_networks_says_so(capsys):
    assert main(["zoo"]) == 0
    assert "This installation of segattn has no trained networks." in capsys.readouterr().out
    assert main(["zoo", "streets/ccnet"]) == 2
    assert "unknown network 'streets/ccnet': this installation" in capsys.readouterr().err


def test_several_commands_stay_several_and_a_single_head_has_its_own(tiny_zoo, monkeypatch, capsys):
    entries = [
        replace(
            entry, command=f"{'segattn train a; ' * (entry.head == 'fcn')}segattn study b --heads {entry.head} -x 1"
        )
        for entry in zoo.networks("streets")
    ]
    monkeypatch.setattr(zoo, "networks", lambda name: entries)
    assert main(["zoo"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert " fcn: segattn train a; segattn study b --heads fcn -x 1" in shown
    assert ": segattn study b --heads HEAD -x 1" in shown
