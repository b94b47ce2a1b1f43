"""All heads on CamVid, 11 classes, 480x360, a small backbone from random weights on a CPU.

    segattn study camvid --data-root PATH/TO/camvid

docs/camvid.md has the table (22 minutes, 2 cores). For others' figures: pretrained ResNet-101, 512x512 crops, 80,000 iterations.
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="camvid",
        data=Data(name="camvid", root="data/camvid"),
        augmentation=Augmentation(crop_size=(192, 256), scale_range=(0.5, 1.5)),
        model=Model(
            backbone="resnet18",
            align_corners=False,
            head_options={"channels": 128},
            backbone_options={"width": 32},
        ),
        optimization=Optimization(iterations=700, batch_size=4, lr=0.05, warmup=50, weight_decay=1e-4, min_lr=1e-4),
        evaluation=Evaluation(examples=6),
        validate_every=0,
        checkpoint_every=50,
        log_every=20,
    )
