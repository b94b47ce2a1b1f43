"""Your own images and masks: a small network from random weights, minutes on two cores; `segattn data init` writes the command.

    segattn data init FOLDER
    segattn train folder --data-root FOLDER

FCN on a ResNet-18 of half width, 256x256 crops, 300 iterations: enough to see that the data are read as they are meant, in five
to ten minutes on two cores. For a result take a pretrained backbone and more iterations, such as --backbone resnet50
--model.backbone-options {} --pretrained WEIGHTS --iterations 20000 on a GPU.
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="folder",
        data=Data(name="folder"),
        augmentation=Augmentation(crop_size=(256, 256), scale_range=(0.5, 2.0)),
        model=Model(
            backbone="resnet18",
            output_stride=8,
            align_corners=False,
            head_options={"channels": 128},
            backbone_options={"width": 32},
        ),
        optimization=Optimization(iterations=300, batch_size=4, lr=0.05, warmup=20, weight_decay=1e-4, min_lr=1e-4),
        evaluation=Evaluation(examples=4),
        validate_every=0,
        checkpoint_every=50,
        log_every=20,
    )
