"""Ctrl-C is one line and code 130 before and after the command line is there, in both ways to start it."""

import subprocess
import sys
import tomllib

import pytest

from tests.places import ROOT

ENTRY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["segattn"]
SCRIPT = "from {} import {} as begin\nsys.exit(begin())\n".format(*ENTRY.split(":"))
"""What pip writes as `segattn`."""
MODULE = "import runpy\nrunpy.run_module('segattn', run_name='__main__', alter_sys=True)\n"
PRESS = """
import atexit, signal, sys

def press():
    signal.raise_signal(signal.SIGINT)

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == WHEN:
            press()

signal.signal(signal.SIGINT, signal.default_int_handler)  # processes in the background inherit that it is ignored
sys.meta_path.insert(0, Press())
if WHEN == "end":
    atexit.register(press)
sys.argv = ["segattn", "--version"]
"""


def run(begin, when):
    code = f"WHEN = {when!r}\n{PRESS}{begin}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.mark.parametrize("begin", [SCRIPT, MODULE], ids=["segattn", "python -m segattn"])
@pytest.mark.parametrize("when", ["segattn.cli", "segattn.catalogue", "segattn.cli.interrupted", "end"])
def test_ctrl_c_is_one_line(begin, when):
    done = run(begin, when)
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stderr) == (130, "\nsegattn: interrupted\n")


@pytest.mark.parametrize("begin", [SCRIPT, MODULE], ids=["segattn", "python -m segattn"])
def test_without_ctrl_c_the_command_runs(begin):
    done = run(begin, "")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("segattn ")
