"""Which tests run by default, with `make test-fast`, with `make test-all`, and where another environment is needed."""

import os
import subprocess
import sys

import pytest

from tests.places import ROOT
from tests.tiers import FIRST

pytestmark = pytest.mark.slow

EXAMPLES = """
import pytest

def test_plain(): ...

@pytest.mark.slow
def test_slow(): ...

@pytest.mark.long("ccnet")
@pytest.mark.parametrize("head", ["ccnet fast", "xccnet", "danet"])
def test_head(head): ...

@pytest.mark.long
def test_long(): ...

@pytest.mark.optin
def test_elsewhere(): ...
"""


def run_in(folder, *options):
    """The lines of the tests that a run of the folder's test files has, in their order."""
    (folder / "conftest.py").write_text("from tests.tiers import pytest_collection_modifyitems\n")
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *settings, "-vv", *options, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, env=environment)
    lines = [line for line in run.stdout.splitlines() if "::test_" in line]
    assert lines, run.stdout + run.stderr
    return lines


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["plain", "slow", "head[ccnet fast]"]),
        (["-m", "not slow"], ["plain"]),
        (["-m", "not optin"], ["plain", "slow", "head[ccnet fast]", "head[xccnet]", "head[danet]", "long"]),
        (["-m", "optin"], ["elsewhere"]),
        (["-m", ""], ["plain", "slow", "head[ccnet fast]", "head[xccnet]", "head[danet]", "long", "elsewhere"]),
    ],
)
def test_run_has_the_tests_of_its_tier(options, expected, tmp_path):
    (tmp_path / "test_examples.py").write_text(EXAMPLES)
    assert [line.partition("::test_")[2].partition(" PASSED")[0] for line in run_in(tmp_path, *options)] == expected


def test_the_files_that_come_first_exist():
    assert {path.name for path in (ROOT / "tests").rglob("test_*.py")} >= set(FIRST)


def test_long_files_come_first_and_then_those_with_more_tests(tmp_path):
    few, many = "def test_a(): ...\n", "def test_a(): ...\ndef test_b(): ...\n"
    only_elsewhere = "import pytest\npytestmark = pytest.mark.optin\n" + 2 * many.replace("test_", "test_x")
    files = {"test_aaa.py": few, "test_bbb.py": many, "test_ccc.py": only_elsewhere + few, "test_site.py": few}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    names = [line.partition("::")[0].rpartition("/")[2] for line in run_in(tmp_path)]
    assert names == ["test_site.py", "test_bbb.py", "test_bbb.py", "test_aaa.py"]
