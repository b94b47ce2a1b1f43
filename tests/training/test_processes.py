"""Several processes end together: one that is stopped or killed ends the others, with a message, after a stated time."""

import subprocess
import sys
from pathlib import Path

import pytest

from segattn.training import snapshots
from tests.training.test_distributed import LAUNCHER, environment

pytestmark = pytest.mark.slow


@pytest.mark.long("SIGKILL")
@pytest.mark.parametrize("how", ["SIGSTOP", "SIGKILL"])
def test_lost_process_ends_the_other_with_a_message(how, tmp_path):
    command = [sys.executable, *LAUNCHER, str(Path(__file__).with_name("lost_process.py")), str(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment())
    assert done.returncode != 0
    seconds, _, message = (tmp_path / "ended.txt").read_text().partition(" ")
    assert message.startswith("another process of this run was killed, ended with an error, or did not answer for 8 s")
    assert "Run the same command again; a training continues from its last checkpoint" in message
    assert int(seconds) < 120
    if how == "SIGSTOP":
        assert int(seconds) >= 6  # it was waited for
    assert snapshots.latest_iteration(tmp_path / "run") == 1  # that of iteration 2 would be of both
