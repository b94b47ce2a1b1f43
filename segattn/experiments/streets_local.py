"""The trunk `streets-local` of the zoo: a backbone that sees 55 pixels and leaves context to the head.

    segattn data pack streets --data-options "height=256,width=512,num_images=4000" --splits train -o runs/streets-packed
    segattn data pack streets --data-options "height=256,width=512,num_images=200" --splits val -o runs/streets-packed
    segattn train streets_local

A half-width ResNet-18 with BagNet's kernels, trained from random weights under all ten controlled heads at once, with equal
weight, so that it favours none (`segattn/heads/parts/several.py`). About two hours on one core with AMX.
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import STUDY_HEADS, streets


def experiment() -> Experiment:
    full = streets.experiment()
    return replace(
        full,
        name="streets_local",
        augmentation=replace(full.augmentation, crop_size=(192, 384)),
        model=replace(
            full.model,
            head="segattn.heads.parts.several",
            mode="faithful",
            auxiliary_weight=0.0,
            head_options={"names": list(STUDY_HEADS), "per_step": 2, "channels": 64},
            backbone_options={"width": 32, "receptive_field": 55},
        ),
        optimization=replace(full.optimization, iterations=10_000, batch_size=4),
    )
