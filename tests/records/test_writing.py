"""One writer for all files: whole or not at all, and what a kill leaves is removed."""

import os
import signal
import subprocess
import sys

import pytest

from segattn.records import sweep, writing
from tests.places import ROOT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "new" / "picture.png"
    with writing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert names(path.parent) == ["picture.png"]


def test_exception_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted():
        with writing(path) as temporary:
            temporary.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_mode_is_that_of_an_ordinary_file(tmp_path):
    before = os.umask(0o027)
    try:
        with writing(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_long_names_fit(tmp_path):
    path = tmp_path / ("ü" * 120 + ".png")  # 244 bytes of at most 255
    with writing(path, synced=False) as temporary:
        temporary.write_bytes(b"x")
    assert path.read_bytes() == b"x"


HOLD = """
import sys
from segattn.records import writing
with writing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print(temporary.name, flush=True)
    sys.stdin.read()
"""


def start(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return process, process.stdout.readline().strip()


def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(tmp_path):
    dead, left = start(tmp_path / "report.md")
    living, in_use = start(tmp_path / "report.html")
    dead.send_signal(signal.SIGKILL)
    dead.wait(timeout=30)
    assert names(tmp_path) == sorted([left, in_use])
    (tmp_path / ".hidden.part").touch()  # another's
    sweep(tmp_path)
    assert names(tmp_path) == sorted([in_use, ".hidden.part"])
    living.communicate("", timeout=30)
    assert (tmp_path / "report.html").read_text() == "half"
    sweep(tmp_path / "no such folder")


def test_the_first_write_into_a_folder_sweeps_it(tmp_path):
    left = tmp_path / ".study.json.0123abcd.part"
    left.touch()
    with writing(tmp_path / "a.txt"):
        assert not left.exists()
    left.touch()
    with writing(tmp_path / "b.txt"):
        assert left.exists()  # a folder of many files is listed once


def test_a_link_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_text("kept")
    (tmp_path / ".a.0123abcd.part").symlink_to(other)
    os.mkfifo(tmp_path / ".b.0123abcd.part")  # opening it does not wait
    sweep(tmp_path)
    assert other.read_text() == "kept"
