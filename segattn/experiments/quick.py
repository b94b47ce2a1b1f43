"""A small study on generated street scenes: ten heads, three seeds, one trained backbone, in minutes on two cores.

    segattn study quick

The backbone is the zoo's `streets-local`, frozen: one position of its map sees 55 pixels, so context is left to the head. Its
maps of 600 crops are computed once; every head starts from the trunk's own convolutions, and its mechanism at random. 128x256
crops of 256x512 scenes, 40 iterations. `segattn study scratch` trains whole networks instead.
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Features, Model, Optimization

SEEDS = 3


def experiment() -> Experiment:
    return Experiment(
        name="quick",
        data=Data(name="streets", size=(256, 512), train_images=150, val_images=32),
        augmentation=Augmentation(crop_size=(128, 256), scale_range=(0.75, 1.75)),
        model=Model(
            mode="controlled",
            backbone="resnet18",
            align_corners=False,
            auxiliary_weight=0.0,
            pretrained="streets-local",
            init_head="trunk",
            head_options={"channels": 64},
            backbone_options={"width": 32, "receptive_field": 55},
        ),
        optimization=Optimization(
            train="head",
            iterations=40,
            batch_size=8,
            lr=0.1,
            warmup=4,
            weight_decay=1e-4,
            min_lr=0.0,
            class_balance="log",
            ema_decay=0.9,
        ),
        features=Features(copies=4),
        evaluation=Evaluation(examples=1),
        validate_every=0,
        checkpoint_every=40,
        log_every=5,
    )
