"""The probes: which networks are trained on each generated task; they differ in their mechanism alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from segattn.config import Experiment

Grid = Literal["reduced", "full"]


@dataclass(frozen=True)
class Variant:
    """A head with options, and its name in tables."""

    name: str
    head: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """What is trained on a task."""

    task: str
    iterations: int
    variants: tuple[Variant, ...]
    """Of the reduced grid; the full one adds every other head."""
    seeds: int = 5
    class_weights: tuple[float, ...] = ()
    """In the loss; lines are rare, and a query of unknown class has half the probability for each."""
    maps: bool = False
    """Whether the purity of attention maps is measured."""


_WITHOUT = tuple(Variant(name, name) for name in ("fcn", "psp", "aspp"))
_CRISS_CROSS, _STAR = (
    tuple(Variant(f"{head} R={times}", head, {"recurrence": times}) for times in (1, 2)) for head in ("ccnet", "star")
)
_DENOISED = (
    Variant("denoised_nl", "denoised_nl"),
    Variant("denoised_nl rectifying only", "denoised_nl", {"window": 0}),
    Variant("denoised_nl retention only", "denoised_nl", {"gr_mode": "off"}),
    Variant("denoised_nl neither", "denoised_nl", {"gr_mode": "off", "window": 0}),
)
_DENOISED_MORE = (
    Variant("denoised_nl P^T P", "denoised_nl", {"gr_mode": "affinity"}),
    Variant("denoised_nl hard", "denoised_nl", {"gr_mode": "hard"}),
    Variant("denoised_nl window 5", "denoised_nl", {"window": 5}),
    Variant("denoised_nl window 7", "denoised_nl", {"window": 7}),
)


def _of(*names: str) -> tuple[Variant, ...]:
    return tuple(Variant(name, name) for name in names)


PROBES = {
    probe.task: probe
    for probe in (
        Probe("reach", 100, (*_WITHOUT, *_of("non_local"), *_CRISS_CROSS, *_STAR)),
        Probe("conjunction", 400, (*_WITHOUT, *_of("non_local", "danet", "flanet"))),
        Probe("noise", 200, (*_WITHOUT, *_of("non_local"), *_DENOISED), maps=True),
        Probe("thin", 240, (*_WITHOUT, *_of("non_local"), _CRISS_CROSS[1]), class_weights=(10.0, 10.0, 1.0)),
        Probe("compare", 200, (*_WITHOUT, *_of("non_local"), _CRISS_CROSS[1])),
    )
}
"""The probes by task."""
_FULL_SEEDS = 10


def variants(task: str, grid: Grid, heads: Sequence[str]) -> list[Variant]:
    """The networks of a task; the full grid adds those of all `heads` that the reduced one has not, and more ablations."""
    chosen = list(PROBES[task].variants)
    if grid == "full":
        named = {variant.head for variant in chosen if variant.options.get("recurrence", 2) == 2}
        chosen += [Variant(head, head) for head in heads if head not in named]
        chosen += _DENOISED_MORE if task == "noise" else ()
    return chosen


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of a grid, by folder."""

    base: Experiment
    tasks: tuple[str, ...]
    grid: Grid = "reduced"
    heads: tuple[str, ...] = ()
    """Of the full grid."""
    seeds: int | None = None
    """Of each network; by default 5 in the reduced grid and 10 in the full one."""

    def num_seeds(self, task: str) -> int:
        """How many seeds each network of a task is trained with."""
        return self.seeds or (PROBES[task].seeds if self.grid == "reduced" else _FULL_SEEDS)

    def of_task(self, task: str) -> dict[str, tuple[Variant, Experiment]]:
        """The runs of a task by folder: all networks with one seed, then all with the next."""
        runs = {}
        for seed in range(self.base.seed, self.base.seed + self.num_seeds(task)):
            for variant in variants(task, self.grid, self.heads):
                runs[f"{task}-{_folder(variant.name)}-s{seed}"] = (variant, self._experiment(task, variant, seed))
        return runs

    def runs(self) -> dict[str, Experiment]:
        """All runs by folder: every task with one seed, then every task with the next."""
        every = {name: run for task in self.tasks for name, (_, run) in self.of_task(task).items()}
        return dict(sorted(every.items(), key=lambda item: item[1].seed))

    def _experiment(self, task: str, variant: Variant, seed: int) -> Experiment:
        base = self.base
        model = dataclasses.replace(
            base.model, head=variant.head, head_options={**base.model.head_options, **variant.options}
        )
        data = dataclasses.replace(base.data, options={**base.data.options, "task": task})
        probe = PROBES[task]
        optimization = dataclasses.replace(
            base.optimization, iterations=probe.iterations, class_weights=probe.class_weights
        )
        return dataclasses.replace(base, model=model, data=data, optimization=optimization, seed=seed)


def _folder(name: str) -> str:
    """A variant's name as a part of a folder's."""
    return "".join(letter if letter.isalnum() or letter in "_." else "-" for letter in name)
