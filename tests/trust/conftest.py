"""A network trained for two iterations, for a hostile copy of it; and what watches that nothing is imported."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segattn import cost
from segattn.study.run import run_study
from tests import tiny

PACKAGE = "weights"
"""The package that hostile files name; `weights.py` lies beside the weights, in the working directory."""


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two heads, one seed, two iterations; nobody changes it."""
    folder = tmp_path_factory.mktemp("trust") / "study"
    small = tiny.experiment(optimization={"iterations": 2}, validate_every=0, evaluation={"examples": 1})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cost, "REFERENCE_SIZES", ((65, 65),))
        patched.setattr(cost, "REFERENCE_CLASSES", (19,))
        run_study(small, folder, head_names=["ccnet", "fcn"], device="cpu")
    return folder


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    """A copy of the study, for a test to change."""
    return Path(shutil.copytree(study, tmp_path / "study"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((32, 48, 3), 90, np.uint8)).save(path)
    return path


class Watch:
    """Notes every attempt to import the package that hostile files name; it finds nothing itself."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] == PACKAGE:
            self.asked.append(name)
        return None


@pytest.fixture
def watch() -> Iterator[Watch]:
    """The watch, first among Python's finders; what was imported is forgotten afterwards."""
    finders, watch = list(sys.meta_path), Watch()
    sys.meta_path.insert(0, watch)
    yield watch
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def change(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file in place."""
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
