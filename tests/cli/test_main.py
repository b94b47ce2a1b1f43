import os
import re
import signal
import subprocess
import sys
import time

import pytest

import segattn
from segattn.cli import COMMANDS, main

HEAVY = ("torch", "matplotlib", "numpy", "accelerate", "PIL", "rich", "tyro", "msgspec", "yaml", "jinja2", "timm")


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]], ids=str)
def test_help_names_every_command(arguments, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +\w", shown, re.MULTILINE) for name in COMMANDS)


def test_help_imports_nothing_heavy():
    loaded = f"print(sorted(set(sys.modules) & set({HEAVY})), file=sys.stderr)"
    process = python("-c", f"import sys, segattn.cli; segattn.cli.main(['--help']); {loaded}")
    assert process.returncode == 0
    assert process.stderr.strip() == "[]"


def test_import_of_the_package_is_light():
    process = python("-c", f"import sys, segattn; print(segattn.__version__, sorted(set(sys.modules) & set({HEAVY})))")
    assert process.stdout.strip() == f"{segattn.__version__} []"


def test_help_is_there_at_once():
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        assert python("-m", "segattn", "--help").stdout.startswith(f"segattn {segattn.__version__}")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 2  # 0.05 s on an idle machine; what costs time is held by the imports above


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"segattn {segattn.__version__}\n"


@pytest.mark.parametrize(
    ("command", "hint"),
    [("studdy", "did you mean study?"), ("flop", "did you mean flops?"), ("xyz", "Commands: study, ")],
)
def test_unknown_command_is_named_with_the_nearest(command, hint, capsys):
    assert main([command]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"segattn: error: unknown command {command!r}; " in shown.err
    assert hint in shown.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    try:
        code = main([command, "--help"])
    except SystemExit as end:
        code = end.code
    assert code in (0, None)
    assert "usage: segattn " + command in capsys.readouterr().out


@pytest.mark.parametrize("command", ["heads", "flops", "report", "train quick", "study quick"])
def test_unknown_option_is_an_error(command, capsys):
    assert main([*command.split(), "--no-such-option"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"segattn: error: segattn {command} has no option --no-such-option; ")
    assert shown.err.count("\n") == 1


@pytest.mark.slow
def test_exit_code_reaches_the_shell():
    process = python("-m", "segattn", "heads", "ccnett")
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.startswith("segattn: error: unknown head 'ccnett'; did you mean ccnet")
    assert "Traceback" not in process.stderr


def test_ctrl_c_is_130_without_a_traceback(monkeypatch, capsys):
    from segattn.cli import heads

    def press(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(heads, "run", press)
    assert main(["heads"]) == 130
    assert capsys.readouterr().err == "\nsegattn: interrupted\n"


PRESS = """
import signal, sys
from segattn.cli import main

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            sys.argv[1] = ""
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                if sys.argv[2] == "swallowed":  # as compiled modules do
                    raise ImportError("initialization failed") from None
                raise

signal.signal(signal.SIGINT, signal.default_int_handler)  # processes in the background inherit that it is ignored
sys.meta_path.insert(0, Press())
sys.exit(main(["train", "quick"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raised", "swallowed"])
@pytest.mark.parametrize("module", ["segattn.cli.train", "tyro", "segattn.config", "torch", "numpy"])
def test_ctrl_c_while_modules_are_imported_is_130_and_one_line(module, how, tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", PRESS, module, how], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert (process.returncode, process.stdout, process.stderr) == (130, "", "\nsegattn: interrupted\n")


def test_an_error_without_ctrl_c_is_no_interruption(monkeypatch):
    from segattn.cli import heads

    monkeypatch.setattr(heads, "run", lambda arguments: 1 / 0)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        main(["heads"])
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["heads", "ccnet"], ["heads"], ["zoo"]])  # printed by Python, and by rich
def test_reader_that_goes_away_is_no_error(arguments):
    command = [sys.executable, "-m", "segattn", *arguments]
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writing)
    assert process.stderr == ""
    assert process.returncode == 141


def test_file_in_the_way_is_an_error_that_names_it(trained, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["report", str(trained), "--out", str(tmp_path / "file" / "deeper")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error
