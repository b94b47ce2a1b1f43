"""The command without its page: what it says before anything is served."""

import importlib.util

import pytest

from segattn import zoo
from segattn.cli import demo, main

pytestmark = pytest.mark.usefixtures("_gradio")


@pytest.fixture
def _gradio(monkeypatch):
    """Gradio seems to be there, and nothing is served."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: name if name == "gradio" else find_spec(name))


@pytest.fixture
def served(monkeypatch):
    """What would have been served."""
    from segattn.demo import server

    calls = []
    monkeypatch.setattr(
        server, "serve", lambda explorer, listening, **options: calls.append((explorer, listening, options))
    )
    return calls


def test_missing_gradio_is_said_with_the_command_that_brings_it(monkeypatch, capsys):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    assert main(["demo"]) == 2
    assert "segattn demo needs Gradio: pip install 'segattn[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a folder; give the folder of a finished run, or of a study"),
        (["--max-side", "10"], "--max-side 10 should be from 64 to 2048 pixels"),
        (["--port", "70000"], "--port 70000 should be from 0 to 65535"),
        (["--cache-mb", "-1"], "--cache-mb -1 should be 0 or more"),
        (["--heads", "ccnet"], "--heads and --seed choose among a study's networks; name its folder"),
        (["{trained}", "{trained}", "--port", "0"], "given twice"),
    ],
)
def test_mistakes_are_told(arguments, message, trained, served, capsys):
    assert main(["demo", *[each.format(trained=trained) for each in arguments]]) == 2
    assert message in capsys.readouterr().err
    assert not served


def test_networks_of_a_study_are_served_to_this_computer_alone(trained, served, capsys):
    assert main(["demo", str(trained), "--port", "0", "--cache-mb", "3"]) == 0
    ((explorer, _, options),) = served
    assert list(explorer.networks) == ["ccnet"]
    assert explorer.looks.limit == 3 * 2**20
    assert options["max_side"] == 512
    printed = capsys.readouterr().out
    assert "there is no password" not in printed
    assert "No run given" not in printed


@pytest.mark.usefixtures("tiny_zoo")
def test_networks_of_the_zoo_are_the_default_even_beside_a_study(trained, served, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    for folder in ("runs/mine", "streets"):
        (tmp_path / folder).symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--port", "0"]) == 0
    shown = "No run given: the study's heads on streets of segattn zoo. To show your own: segattn demo runs/quick\n"
    assert shown in capsys.readouterr().out
    ((explorer, _, options),) = served
    assert list(explorer.networks) == ["ccnet", "emanet", "fcn"]
    assert options["source"] == "Networks of streets."


@pytest.mark.parametrize("trunks", [(), ("streets-local",)])
def test_without_the_trunk_a_run_is_asked_for(trunks, packed, trained, served, tmp_path, monkeypatch, capsys):
    (tmp_path / "zoo").mkdir()
    for trunk in trunks:
        (tmp_path / "zoo" / trunk).symlink_to(packed / trunk)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(trained)
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "zoo")
    monkeypatch.chdir(tmp_path)
    assert zoo.trunks() == list(trunks)
    assert main(["demo", "--port", "0"]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "segattn: error: no run given, and this installation has no networks of the zoo's trunk streets; give the folder of a "
        "study or run, such as segattn demo runs/quick (segattn study quick trains it)"
    ]
    assert not told.out
    assert not served


@pytest.mark.usefixtures("tiny_zoo")
def test_networks_of_the_zoo_are_served_by_name(served, tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "streets-local/ccnet-faithful", "--port", "0"]) == 0
    assert served[0][2]["source"] == "Networks of streets-local/ccnet-faithful."
    assert main(["demo", "streets", str(trained), "--heads", "ccnet", "--port", "0"]) == 0
    assert list(served[1][0].networks) == ["ccnet controlled seed 0", "ccnet faithful seed 0"]
    assert served[1][2]["source"].startswith("Networks of streets, ")


def test_other_hosts_are_warned_of(trained, served, capsys):
    assert main(["demo", str(trained), "--host", "0.0.0.0", "--port", "0"]) == 0
    assert "Whoever reaches 0.0.0.0 can use this page; there is no password" in capsys.readouterr().out
