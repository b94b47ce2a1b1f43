"""Freed memory that is kept: what glibc says of its blocks, in a process of its own."""

import os
import subprocess
import sys

import pytest

from segattn.cli import allocator, main

BLOCKS = """
import ctypes, sys
from segattn.cli import allocator
sys.argv = ["segattn", *sys.argv[1:]]
allocator.own_words()
import torch
class Blocks(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
info = ctypes.CDLL(None).mallinfo2
info.restype = Blocks
block = torch.zeros(2**27)
mapped = info().hblkhd
del block
print(mapped, info().fordblks)
"""
"""Prints the bytes that are mapped while half a gigabyte is in use, and those that are kept after it was freed."""
needs_glibc = pytest.mark.skipif(not allocator._is_glibc(), reason="glibc alone has mallopt")


def blocks(*words, **variables):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "SEGATTN_"))}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS, *words], capture_output=True, text=True, env={**clean, **variables}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return tuple(map(int, done.stdout.split()))


@needs_glibc
def test_a_block_is_kept_and_not_mapped():
    mapped, kept = blocks("train", "quick")
    assert mapped < 2**28
    assert kept >= 2**29


@needs_glibc
@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (("flops",), {}),
        (("train",), {"SEGATTN_ALLOCATOR": "system"}),
        (("train",), {"MALLOC_ARENA_MAX": "2"}),
        ((), {}),
    ],
)
def test_it_is_as_the_system_does_it_elsewhere_and_where_the_user_says_so(words, variables):
    mapped, kept = blocks(*words, **variables)
    assert mapped >= 2**29
    assert kept < 2**28


@needs_glibc
def test_workers_inherit_it(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: FakeC())
    environment = {}
    assert allocator.keep_memory(["study", "quick"], environment)
    assert environment == {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}


class FakeC:
    """A C library that says yes."""

    gnu_get_libc_version = None

    def mallopt(self, parameter, value):
        return 1


def test_without_glibc_nothing_is_done(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_memory(["train"], {})


def test_unknown_switch_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("SEGATTN_ALLOCATOR", "fast")
    monkeypatch.setattr(sys, "argv", ["segattn", "train", "quick"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "segattn: error: SEGATTN_ALLOCATOR=fast should be keep (freed memory, the default) or system (as the system does)\n"
    )


def test_a_command_called_from_python_leaves_the_allocator_alone(monkeypatch):
    monkeypatch.setattr(allocator, "keep_memory", lambda *arguments: pytest.fail("was called"))
    assert main(["--version"]) == 0
