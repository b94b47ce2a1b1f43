"""All ten heads from random weights, backbone and head, on generated street scenes, in minutes on two cores.

    segattn study scratch

A narrow ResNet-18 from random weights, 128x256 scenes, 160 iterations: enough to see that everything works, to compare costs and
to see first differences; not enough to rank the mechanisms. Gates that start at zero (gamma, BN scale) are still nearly closed
at the end.
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="scratch",
        data=Data(name="streets", size=(128, 256), train_images=400, val_images=40),
        augmentation=Augmentation(crop_size=(96, 192), scale_range=(0.75, 1.5)),
        model=Model(
            backbone="resnet18",
            output_stride=8,
            align_corners=False,
            head_options={"channels": 64},
            backbone_options={"width": 32},
        ),
        optimization=Optimization(iterations=160, batch_size=4, lr=0.05, warmup=20, weight_decay=1e-4, min_lr=1e-4),
        evaluation=Evaluation(examples=4),
        validate_every=0,
        checkpoint_every=40,
        log_every=10,
    )
