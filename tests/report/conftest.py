"""The synthetic study, fabricated and reported on once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segattn import report
from tests.report import fabricate


@pytest.fixture(scope="session")
def ten_by_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study of ten heads and three seeds."""
    return fabricate.study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def with_contribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study with gates, and scores without the mechanism."""
    folder = fabricate.study(tmp_path_factory.mktemp("contribution"))
    fabricate.add_contribution(folder)
    return folder


@pytest.fixture(scope="session")
def from_trunk(with_contribution: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study once more, its heads started from a trunk of the zoo."""
    folder = shutil.copytree(with_contribution, tmp_path_factory.mktemp("trunk") / "study")
    fabricate.add_start(folder)
    return folder


@pytest.fixture(scope="session")
def built(ten_by_three: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Its report."""
    return report.build([ten_by_three], tmp_path_factory.mktemp("report"))
