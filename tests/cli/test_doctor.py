"""`segattn doctor`."""

import importlib.metadata
import subprocess
import tomllib
from pathlib import Path

import pytest

from segattn import __version__
from segattn.cli import doctor, main
from tests.places import ROOT


def shown(capsys):
    assert main(["doctor"]) == 0
    return capsys.readouterr().out


def test_it_names_versions_and_machine_on_narrow_lines(capsys):
    text = shown(capsys)
    assert text.startswith(f"segattn {__version__}")
    for name in ("python", "processor", "bf16", "int8", "memory", "allocator", "devices", "packages", "zoo"):
        assert f"\n{name} " in text
    assert f"torch {importlib.metadata.version('torch')}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_missing_has_its_use_and_a_command_that_can_be_pasted(monkeypatch, capsys):
    wanted = ["torch>=2.6", "gradio>=6.0; extra == 'demo'", 'av>=14.0; extra == "video"', "pytest; extra == 'dev'"]
    versions = {"torch": "2.5.1", "av": "14.2"}
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(doctor, "_version", versions.get)
    text = shown(capsys)
    assert "torch 2.5.1 (needs >=2.6)" in text
    assert "demo         missing gradio: segattn demo: the page to click pixels\n" in text
    assert "             pip install 'segattn[demo]'\n" in text
    assert "video        av 14.2\n" in text
    assert "dev          missing 1 of 1 packages: the tests" in text


def test_broken_torchvision_is_named(monkeypatch, capsys):
    fault = subprocess.CompletedProcess(
        [], 1, "", "Traceback\nRuntimeError: operator torchvision::nms does not exist\n"
    )
    monkeypatch.setattr(doctor, "_version", lambda name: "1.0")
    monkeypatch.setattr(subprocess, "run", lambda *words, **settings: fault)
    assert "segattn works without it (RuntimeError: operator" in shown(capsys)


def test_without_an_installation_it_says_so(monkeypatch, capsys):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert "extras       unknown: segattn is not installed here" in shown(capsys)


def test_the_home_folder_is_not_in_it(monkeypatch, capsys):
    monkeypatch.setattr(Path, "home", lambda: Path(doctor.sys.prefix).parent)
    text = shown(capsys)
    assert f" in ~/{Path(doctor.sys.prefix).name}\n" in text
    assert str(Path(doctor.sys.prefix).parent) not in text


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({}, "its own settings"),
        ({"MALLOC_TOP_PAD_": "64", "LD_PRELOAD": "libtcmalloc.so"}, "MALLOC_TOP_PAD_=64, LD_PRELOAD=libtcmalloc.so"),
    ],
)
def test_allocator(variables, text, monkeypatch):
    monkeypatch.setattr(doctor.os, "environ", variables)
    assert doctor._allocator().endswith(text)


def test_every_extra_says_what_it_gives():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert doctor.GIVES.keys() == extras.keys()
