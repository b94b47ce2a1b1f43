"""Trained networks as `bench`, `flops` and `choose` see them: what config.json says, without the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segattn import config
from segattn.cli.values import Size


@dataclass(frozen=True)
class Trained:
    """A trained network without its weights."""

    name: str
    """The folder of the run, or the name of `segattn zoo`."""
    model: config.Model
    num_classes: int
    size: Size
    """Of its images: its sliding window, the size of its generated scenes, or else the crop that it was trained on."""

    def described(self) -> dict[str, Any]:
        """Its arguments of `network_cost`, without head and size."""
        names = ("mode", "backbone", "output_stride", "in_channels", "head_options", "backbone_options")
        return {"num_classes": self.num_classes, **{name: getattr(self.model, name) for name in names}}


def read(paths: Sequence[Path], allow_modules: Sequence[str]) -> list[Trained]:
    """The trained networks of runs, studies and the zoo, each once.

    Raises:
        ValueError: there is none, its config.json is damaged, or it names a module that is not allowed.
    """
    from segattn import checkpoint

    networks: dict[str, Trained] = {}
    for path in paths:
        for source in checkpoint.find_models(path):
            raw = checkpoint.read_config(source)
            try:
                experiment = config.from_dict(raw["experiment"], allow_modules=allow_modules)
            except ValueError as error:
                raise ValueError(f"{source}: {error}") from None
            networks[str(source)] = Trained(str(source), experiment.network, len(raw["class_names"]), _size(experiment))
    return list(networks.values())


def _size(experiment: config.Experiment) -> Size:
    if experiment.evaluation.mode == "slide":
        return experiment.evaluation.window[0]
    return experiment.data.size or experiment.augmentation.crop_size


def refuse(chosen: Any, names: Sequence[str], option: str = "--checkpoint") -> None:
    """Raise ValueError for an option that `option` decides instead."""
    default = type(chosen)()
    for name in names:
        if getattr(chosen, name) != getattr(default, name):
            raise ValueError(f"--{name.replace('_', '-')} is decided by {option}; leave it out")
