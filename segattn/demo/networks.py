"""The networks that the explorer shows: those of a study, single runs, networks of the zoo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from segattn import checkpoint
from segattn.cost import Cost, network_cost
from segattn.data.classes import difference
from segattn.data.files.pixels import reading_for
from segattn.model import SegmentationModel


@dataclass(frozen=True, eq=False)
class Network:
    """One network of the page; its model has class names, a palette and an experiment."""

    name: str
    model: SegmentationModel

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
            in_channels=described.in_channels,
            mode=described.mode,
            head_options=described.head_options,
            backbone_options=described.backbone_options,
        )


def load(
    name: str, source: checkpoint.Source, device: str | torch.device, *, allow_modules: Iterable[str] = ()
) -> Network:
    """A trained network: the folder of a run, or a network of the zoo; `allow_modules` as in `checkpoint.load_model`.

    Raises:
        ValueError: as `checkpoint.load_model`.
    """
    return Network(name, checkpoint.load_model(source, device=device, allow_modules=allow_modules))


def checked(networks: Sequence[Network]) -> list[Network]:
    """The networks, if one page can show them.

    Raises:
        ValueError: they know different classes, or two have one name.
    """
    first = networks[0]
    for other in networks[1:]:
        if other.class_names != first.class_names:
            how = difference(first.class_names, other.class_names)
            raise ValueError(
                f"{first.name} knows {len(first.class_names)} classes ({', '.join(first.class_names[:3])}, ...), "
                f"{other.name} {len(other.class_names)} ({', '.join(other.class_names[:3])}, ...): {how}"
                "the networks of one page need the same classes; start a page for each study"
            )
        if reading_for(other.model).bands != reading_for(first.model).bands:
            raise ValueError(
                f"{first.name} and {other.name} take images of other bands; the networks of one page see the same picture: "
                "start a page for each"
            )
    names = [network.name for network in networks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)}: given twice; name each run once")
    return list(networks)
