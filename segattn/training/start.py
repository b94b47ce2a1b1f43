"""What a network with pretrained weights starts from, for its record."""

from __future__ import annotations

from contextlib import suppress

from segattn import records
from segattn.config import Experiment
from segattn.evaluation.identity import is_identity
from segattn.model import WHOLE_HEAD, SegmentationModel


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
