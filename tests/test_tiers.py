"""Which tests run by default, with `make test-fast`, with `make test-all`, and where another environment is needed."""

import os
import subprocess
import sys

import pytest

from tests.places import ROOT

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
    (tmp_path / "conftest.py").write_text("from tests.tiers import pytest_collection_modifyitems\n")
    (tmp_path / "test_examples.py").write_text(EXAMPLES)
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *settings, "-vv", *options, str(tmp_path / "test_examples.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
    lines = [line for line in run.stdout.splitlines() if "::test_" in line]
    assert [line.partition("::test_")[2].partition(" PASSED")[0] for line in lines] == expected, run.stdout + run.stderr
