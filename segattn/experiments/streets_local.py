"""The trunk `streets-local` of the zoo: a backbone that sees 55 pixels and leaves context to the head.

    segattn data pack streets --data-options "height=256,width=512,num_images=4000" --splits train -o runs/streets-packed
    segattn data pack streets --data-options "height=256,width=512,num_images=200" --splits val -o runs/streets-packed
    segattn train streets_local

A half-width ResNet-18 with BagNet's kernels, trained from random weights under all ten controlled heads at once, with equal
weight, so that it favours none (`segattn/heads/parts/several.py`). About two hours on one core with AMX.
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization

HEADS = ["fcn", "ccnet", "danet", "denoised_nl", "dnlnet", "emanet", "flanet", "isanet", "non_local", "reconet"]


def experiment() -> Experiment:
    return Experiment(
        name="streets_local",
        data=Data(name="packed", root="runs/streets-packed"),
        augmentation=Augmentation(crop_size=(192, 384), scale_range=(0.75, 1.75)),
        model=Model(
            head="segattn.heads.parts.several",
            backbone="resnet18",
            align_corners=False,
            auxiliary_weight=0.0,
            head_options={"names": HEADS, "per_step": 2, "channels": 64},
            backbone_options={"width": 32, "receptive_field": 55},
        ),
        optimization=Optimization(
            iterations=10_000,
            batch_size=4,
            lr=0.05,
            warmup=200,
            weight_decay=1e-4,
            min_lr=0.0,
            class_balance="log",
            ema_decay=0.999,
        ),
        evaluation=Evaluation(examples=4),
        validate_every=2_000,
        checkpoint_every=500,
    )
