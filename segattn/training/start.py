"""The network that a run starts with, and what of it is not random, for notices and the record."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from segattn import records
from segattn.config import Experiment
from segattn.convert import source, transfer
from segattn.evaluation.identity import is_identity
from segattn.model import WHOLE_HEAD, SegmentationModel, build_model


def build(config: Experiment, class_names: Sequence[str]) -> tuple[SegmentationModel, records.Start | None, list[str]]:
    """The experiment's network for these classes, what it starts from, and notices about that; None without any weights.

    Raises:
        ValueError: as `build_model`, `source.read` and `transfer.load`.
    """
    model = build_model(config.network, len(class_names), class_names=class_names, seed=config.seed)
    if config.init_from is None:
        return model, start_of(config, model), [model.started_from] if model.started_from else []
    origin = source.read(config.init_from, head=config.model.head, mode=config.model.mode, seed=config.seed)
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
    notices = [] if replaced is None else [f"init_from takes the place of model.pretrained, which is {replaced}"]
    return model, start, [*notices, moved.lines()]


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
