import pytest

from segattn import records
from segattn.cli import main
from segattn.training.interruption import Interrupted

pytestmark = pytest.mark.slow

TINY = ["--device", "cpu", "--iterations", "1"]


@pytest.fixture(scope="module")
def study(experiment_file, tmp_path_factory):
    """Folder of a study of two heads."""
    out = tmp_path_factory.mktemp("study")
    assert main(["study", str(experiment_file), "--heads", "fcn", "reconet", "--out", str(out), *TINY]) == 0
    return out


def test_study_ends_with_records_tables_and_page(study):
    record = records.read(study / "study.json")
    assert record.runs == ["fcn-faithful-s0/record.json", "reconet-faithful-s0/record.json"]
    assert record.command.startswith("segattn study ")
    assert record.command.endswith("--device cpu --iterations 1")
    for name in ("report.html", "report.md", "table.csv", "table.tex"):
        assert (study / name).stat().st_size > 0


def test_second_call_runs_nothing_and_shows_the_table(study, experiment_file, capsys):
    before = (study / "fcn-faithful-s0/record.json").stat().st_mtime_ns
    assert main(["study", str(experiment_file), "--heads", "fcn", "reconet", "--out", str(study), *TINY]) == 0
    shown = capsys.readouterr().out
    assert (study / "fcn-faithful-s0/record.json").stat().st_mtime_ns == before
    assert "[1/2] fcn-faithful-s0: done" in shown
    assert "[2/2] reconet-faithful-s0: done" in shown
    assert "mIoU" in shown
    assert str(study / "report.html") in shown


def test_report_command_writes_the_same_tables(study, tmp_path, capsys):
    assert main(["report", str(study), "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "reconet" in shown
    assert str(tmp_path / "report.html") in shown
    assert (tmp_path / "table.csv").read_bytes() == (study / "table.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quik"], "unknown experiment 'quik'; did you mean quick"),
        (["quick", "--heads", "fcn", "ccnett"], "unknown head 'ccnett'; did you mean ccnet"),
        (["quick", "--model.head", "danet"], "segattn study quick has no option --model.head"),
        (["--heads", "fcn", "fcn"], "fcn given more than once"),
        (["quick", "--seeds", "0"], "--seeds 0: at least 1"),
        (["camvid", "--data-root", "/nowhere"], "/nowhere"),
    ],
)
def test_mistake_is_named_and_nothing_written(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_interrupted_study_is_130(experiment_file, tmp_path, monkeypatch, capsys):
    from segattn.study import run as module

    def stopped(*arguments, **options):
        raise Interrupted("stopped by SIGINT at iteration 3; run the same command again to continue")

    monkeypatch.setattr(module, "run_study", stopped)
    assert main(["study", str(experiment_file), "--out", str(tmp_path)]) == 130
    assert "stopped by SIGINT at iteration 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "seeds"),
    [([], [0, 1, 2]), (["quick", "--seed", "5"], [5, 6, 7]), (["--seeds", "1"], [0]), (["scratch"], [0])],
)
def test_number_of_seeds_is_the_experiments_own(words, seeds, monkeypatch):
    from segattn.study import run as module

    def ran(config, out, **options):
        assert list(options["seeds"]) == seeds
        raise Interrupted("asked")

    monkeypatch.setattr(module, "run_study", ran)
    assert main(["study", *words]) == 130


@pytest.mark.parametrize("words", [[], ["nowhere"]])
def test_report_without_runs_is_an_error(words, capsys):
    assert main(["report", *words]) == 2
    assert "nowhere" in (error := capsys.readouterr().err) or "needs the folder" in error
