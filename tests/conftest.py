import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

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
