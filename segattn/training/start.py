"""The network that a run starts with, and what of it is not random, for notices and the record."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch

from segattn import records
from segattn.config import Experiment
from segattn.convert import source, transfer
from segattn.data import Dataset
from segattn.data.splits import notices
from segattn.evaluation.identity import is_identity
from segattn.model import WHOLE_HEAD, SegmentationModel, build_model


def build(
    config: Experiment, opened: tuple[Dataset, Dataset], on_notice: Callable[[str], object] | None = None
) -> tuple[SegmentationModel, records.Start | None]:
    """The experiment's network, and what it starts from; None without any weights.

    Args:
        opened: the training and the validation split.
        on_notice: called with each notice about labels and images, and about what the network starts from.

    Raises:
        ValueError: as `build_model`, `source.read` and `transfer.load`.
    """
    class_names = opened[0].class_names
    model = build_model(config.network, len(class_names), class_names=class_names, seed=config.seed)
    if config.init_from is None:
        start, remarks = start_of(config, model), [model.started_from]
    else:
        start, remarks = _moved(config, model, config.init_from, class_names)
    if on_notice is not None:
        for notice in filter(None, [*notices(*opened, network=config.model), *remarks]):
            on_notice(notice)
    return model, start


def refuse_other_trunks(experiments: Sequence[Experiment]) -> None:
    """Raise ValueError if runs that share the maps of one backbone start from backbones with different weights.

    That can only be where each starts from its own run of a study. No network is built: the weights in the files are compared.
    """
    where = experiments[0].init_from or experiments[0].model.pretrained
    if where is None or not is_study(where):
        return
    first = _trunk(where, experiments[0])
    for experiment in experiments[1:]:
        other = _trunk(where, experiment)
        if other.keys() != first.keys() or any(not torch.equal(value, first[name]) for name, value in other.items()):
            raise ValueError(
                f"the runs of {where} have different backbones ({experiments[0].model.head} of seed {experiments[0].seed} and "
                f"{experiment.model.head} of seed {experiment.seed}); head-only training shares one: name one of its runs, such "
                f"as {where}/{experiments[0].model.head}-{experiments[0].model.mode}-s{experiments[0].seed}"
            )


def is_study(where: str) -> bool:
    """Whether weights to start from are a study's, in which a run finds those of its own head, mode and seed."""
    return os.path.isdir(where) and not os.path.exists(os.path.join(where, "model.safetensors"))


def _trunk(where: str, experiment: Experiment) -> dict[str, torch.Tensor]:
    """The backbone that an experiment starts from, by name."""
    model = experiment.model
    state = source.read(where, head=model.head, mode=model.mode, seed=experiment.seed).state
    return {name: value for name, value in state.items() if name.startswith("backbone.")}


def _moved(
    config: Experiment, model: SegmentationModel, where: str, class_names: Sequence[str]
) -> tuple[records.Start, list[str]]:
    """Load what fits of the network at `where`; what that was, for the record and in words."""
    origin = source.read(where, head=config.model.head, mode=config.model.mode, seed=config.seed)
    moved = transfer.load(model, origin, config.network, class_names)
    model.started_from = moved.sentence()
    start = records.Start(
        from_pretrained=model.started_from,
        init_head="random",
        loaded=moved.loaded,
        classes=moved.taken,
        skipped=moved.skipped,
        random=moved.fresh,
    )
    replaced = config.model.pretrained
    replacing = [] if replaced is None else [f"init_from takes the place of model.pretrained, which is {replaced}"]
    return start, [*replacing, moved.lines()]


def start_of(config: Experiment, model: SegmentationModel) -> records.Start | None:
    """The start of a network that has just been built; None without pretrained weights. Nothing of the network is changed.

    The mechanism is tried where the rest of the head starts from the pretrained network's: if it returns its input, the network
    starts exactly as that one.
    """
    if not model.started_from:
        return None
    identity = None
    if config.model.init_head == "trunk" and not model.started_from.endswith(WHOLE_HEAD):
        with suppress(ValueError):  # a head whose mechanism cannot be tried can be trained
            identity = is_identity(model, config.augmentation.crop_size)
    return records.Start(from_pretrained=model.started_from, init_head=config.model.init_head, identity=identity)
