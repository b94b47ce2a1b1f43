"""A tiny study for engines, and the same study without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from segattn import records
from segattn.study import run as study_module
from segattn.study.run import run_study
from tests import tiny

HEADS = ("fcn", "reconet")
SHORT = tiny.experiment(
    optimization={"iterations": 30},
    validate_every=0,
    checkpoint_every=1,
    evaluation={"examples": 0, "strata": False, "without_attention": False},
)
"""A checkpoint after every iteration."""


@contextmanager
def without_costs() -> Iterator[None]:
    """Costs at the paper's sizes, and pictures, take longer than the study."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "reference_costs", lambda names, mode: [])
        patch.setattr(study_module.looks, "update", lambda previous, *rest, **options: previous)
        yield


@pytest.fixture(autouse=True)
def _no_costs() -> Iterator[None]:
    with without_costs():
        yield


def results(out: Path) -> dict[str, Any]:
    """Everything of the runs' records that is no time and no place."""
    runs: dict[str, Any] = {}
    for path in records.read(out / "study.json").runs:
        record = asdict(records.read(out / path))
        for name in ("created", "train_seconds", "evaluate_seconds", "environment"):
            record.pop(name)
        runs[path] = record
    return runs


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of the study in this process."""
    out = tmp_path_factory.mktemp("undisturbed")
    with without_costs():
        run_study(SHORT, out, head_names=HEADS, device="cpu", on_notice=lambda line: None)
    return results(out)


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., list[Any]]:
    """Runs the study on an engine in `tmp_path`; the events that it told."""

    def run(engine: Any, config: Any = SHORT, heads: Any = HEADS, on_event: Any = None, **options: Any) -> list[Any]:
        events: list[Any] = []

        def note(event: Any) -> None:
            events.append(event)
            if on_event is not None:
                on_event(event)

        options = {"device": "cpu", "on_notice": lambda line: None, **options}
        run_study(config, tmp_path, head_names=heads, engine=engine, on_event=note, **options)
        return events

    return run
