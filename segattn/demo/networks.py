"""The networks that the explorer shows: those that a study trained, or else untrained ones, marked as such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from segattn import checkpoint, experiments, heads
from segattn.cost import network_cost
from segattn.data import streets
from segattn.model import SegmentationModel, build_model
from segattn.records import Cost


@dataclass(frozen=True, eq=False)
class Network:
    """One network of the page; its model has class names, a palette and an experiment."""

    name: str
    model: SegmentationModel
    trained: bool

    @property
    def class_names(self) -> tuple[str, ...]:
        assert self.model.class_names
        return self.model.class_names

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        assert self.model.palette
        return self.model.palette

    def cost(self, input_size: tuple[int, int]) -> Cost:
        """What a pass of one image of `input_size` (height, width) costs, counted without running it."""
        assert self.model.experiment
        described = self.model.experiment.model
        return network_cost(
            described.head,
            input_size=input_size,
            num_classes=self.model.num_classes,
            backbone=described.backbone,
            output_stride=described.output_stride,
            mode=described.mode,
            head_options=described.head_options,
            backbone_options=described.backbone_options,
        )


def newest_study(runs: Path) -> Path | None:
    """The folder in `runs` whose trained network is the newest, None where there is none."""
    trained_at: dict[Path, float] = {}
    for study in sorted(runs.iterdir()) if runs.is_dir() else ():
        try:
            models = checkpoint.find_runs(study)
        except ValueError:
            continue
        trained_at[study] = max((model / "model.safetensors").stat().st_mtime for model in models)
    return max(trained_at, key=lambda study: trained_at[study]) if trained_at else None


def load(name: str, source: checkpoint.Source, device: str | torch.device) -> Network:
    """A trained network: the folder of a run, or a network of the zoo.

    Raises:
        ValueError: as `checkpoint.load_model`.
    """
    return Network(name, checkpoint.load_model(source, device=device), trained=True)


def untrained(device: str | torch.device) -> list[Network]:
    """Every head of the quick study with random weights: enough to show the page; the maps say nothing about the mechanisms."""
    quick = experiments.load("quick")
    scenes = streets.load("val", height=32, width=32)
    networks = []
    for name in heads.names():
        torch.manual_seed(0)
        experiment = replace(quick, model=replace(quick.model, head=name))
        model = build_model(experiment.model, scenes.num_classes).to(device).eval()
        model.class_names, model.palette, model.experiment = scenes.class_names, scenes.palette, experiment
        networks.append(Network(name, model, trained=False))
    return networks


def checked(networks: Sequence[Network]) -> list[Network]:
    """The networks, if one page can show them.

    Raises:
        ValueError: they know different classes, or two have one name.
    """
    first = networks[0]
    for other in networks[1:]:
        if other.class_names != first.class_names:
            raise ValueError(
                f"{first.name} knows {len(first.class_names)} classes ({', '.join(first.class_names[:3])}, ...), "
                f"{other.name} {len(other.class_names)} ({', '.join(other.class_names[:3])}, ...): "
                "the networks of one page need the same classes; start a page for each study"
            )
    names = [network.name for network in networks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)}: given twice; name each run once")
    return list(networks)
