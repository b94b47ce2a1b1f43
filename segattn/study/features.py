"""What a head-only study computes once for all heads and seeds, and whether it fits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.features import StoredFeatures, size_text
from segattn.training.features import Plan, compute, plan_features
from segattn.training.run import Progress

Splits = Literal["both", "val", "none"]
"""Of which splits the maps are stored; those of the others are computed on the fly."""

FEATURES_LIMIT = 16 * 2**30
"""Bytes that a study's features may take, unless it says otherwise."""


def shared_features(
    runs: Sequence[Experiment],
    opened: tuple[Dataset, Dataset],
    root: Path,
    *,
    limit: int,
    device: str,
    on_progress: Callable[[Progress], object],
    on_notice: Callable[[str], object],
) -> StoredFeatures:
    """The stored maps of both splits; only those of the validation split, or none, where `limit` or the disk leaves no room.

    Raises:
        ValueError: as `plan_features` and `compute`.
    """
    plan, splits = what_fits(runs, opened, root, limit=limit, device=device, on_notice=on_notice)
    if splits == "none":
        return StoredFeatures(plan.folder, None, None)
    return compute(plan, on_sample=lambda done, total: on_progress(Progress("features", done, total)))


def what_fits(
    runs: Sequence[Experiment],
    opened: tuple[Dataset, Dataset],
    root: Path,
    *,
    limit: int,
    device: str,
    on_notice: Callable[[str], object],
) -> tuple[Plan, Splits]:
    """The maps that are to be stored, and of which splits; nothing is computed. Errors as `plan_features`."""
    plan = plan_features(runs, opened, root, device=device)
    if _fits(plan, limit):
        stored = ", stored already" if plan.is_complete else ""
        on_notice(f"Features, computed once: {plan.describe()}{stored}")
        return plan, "both"
    on_notice(
        f"Features would be {plan.describe()}. The limit is {size_text(limit)}, and {size_text(free_bytes(root))} are free: "
        "the heads of a seed are trained side by side instead, one forward pass of the backbone for all."
    )
    plan = plan.without_train()
    return plan, "val" if plan.layouts and _fits(plan, limit) else "none"


def _fits(plan: Plan, limit: int) -> bool:
    return plan.is_complete or (plan.num_bytes <= limit and plan.missing_bytes <= free_bytes(plan.folder))


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk that holds the folder, or will."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free
