"""The trunk `streets` of the zoo: a backbone that sees 311 pixels, nearly a whole scene.

    segattn data pack streets --data-options "height=256,width=512,num_images=4000" --splits train -o runs/streets-packed
    segattn data pack streets --data-options "height=256,width=512,num_images=200" --splits val -o runs/streets-packed
    segattn train streets

A half-width dilated ResNet-18 with a controlled FCN head, trained from random weights. About an hour and a half on one core with
AMX.
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="streets",
        data=Data(name="packed", root="runs/streets-packed"),
        augmentation=Augmentation(crop_size=(128, 256), scale_range=(0.75, 1.75)),
        model=Model(
            head="fcn",
            mode="controlled",
            backbone="resnet18",
            align_corners=False,
            head_options={"channels": 64},
            backbone_options={"width": 32},
        ),
        optimization=Optimization(
            iterations=12_000,
            batch_size=8,
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
