"""OpenMP's threads sleep when they wait, unless the user has said how."""

import os

import pytest

from segattn import __main__ as beginning


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_a_command_sets_it_before_anything_is_imported(given, expected, monkeypatch):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.setenv(name, "")  # so that it is as before after the test
        monkeypatch.delenv(name)
        if name in given:
            monkeypatch.setenv(name, given[name])
    seen = {}

    def main():
        seen.update({name: os.environ[name] for name in names if name in os.environ})
        return 0

    monkeypatch.setattr("segattn.cli.main", main)
    assert beginning.start() == 0
    assert seen == expected
