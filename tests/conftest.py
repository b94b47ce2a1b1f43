import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from segattn.data.streets import Generator, Sample
from tests.tiers import pytest_collection_modifyitems  # noqa: F401  pytest finds it here
from tests.trust.outcomes import pytest_terminal_summary  # noqa: F401  and this


def _define_missing_torchvision_operators() -> torch.library.Library | None:
    """Let torchmetrics and accelerate import beside a torchvision whose compiled part does not load (CPU torch, CUDA build).

    torchvision's Python part only needs the schemas of two operators, which no test calls.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for compiled in Path(spec.origin).parent.glob("_C.*"):
        try:
            torch.ops.load_library(compiled)
        except (OSError, RuntimeError):
            continue
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


_TORCHVISION = _define_missing_torchvision_operators()  # the definitions live as long as this name


@pytest.fixture(scope="module")
def no_reference_costs() -> Iterator[None]:
    """A study without costs at the paper's sizes, which take longer than the study of a tiny network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segattn.study.run.reference_costs", lambda names, mode: [])
        yield


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study without pictures of where its networks look, which take as long as two trainings of a tiny network."""
    monkeypatch.setattr("segattn.training.looks.update", lambda previous, *rest, **options: previous)


_PAINT = Generator.__call__
_painted = functools.lru_cache(maxsize=256)(_PAINT)
_SMALL = 256 * 512
"""Pixels of the largest scene that is remembered."""


def _remembered(self: Generator, index: int) -> Sample:
    if self.height * self.width > _SMALL:
        return _PAINT(self, index)
    sample = _painted(self, index)
    assert sample.label is not None  # of a generated scene
    return Sample(sample.image.copy(), sample.label.copy(), sample.name)


@pytest.fixture(scope="session", autouse=True)
def painted_once() -> Iterator[Callable[[Generator, int], Sample]]:
    """Small scenes are painted once and copied then: painting is half the time of training a tiny network. Gives the painter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Generator, "__call__", _remembered)
        yield _PAINT
