"""One network of `segattn study probes`: a generated scene whose query is decided by something far away.

    segattn train probe --model.head ccnet
    segattn train probe --model.head ccnet --data.options task=compare

The backbone `patches` sees squares of 8 x 8 pixels, so that what a network knows beyond the head's 3x3 convolutions is brought by
its mechanism. Less than two minutes on one core. `segattn study probes` trains all of them; docs/probes.md says what they show.
"""

from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization


def experiment() -> Experiment:
    return Experiment(
        name="probe",
        data=Data(name="probes", train_images=2000, val_images=240, options={"task": "reach"}),
        augmentation=Augmentation(crop_size=(128, 128), scale_range=(1.0, 1.0), flip=0.0, photometric=False),
        model=Model(
            mode="controlled",
            backbone="patches",
            align_corners=False,
            auxiliary_weight=0.0,
            head_options={"channels": 16, "dropout": 0.0},
            backbone_options={"width": 4},
        ),
        optimization=Optimization(
            iterations=150,
            batch_size=8,
            optimizer="adamw",
            lr=5e-3,
            weight_decay=0.01,
            schedule="cosine",
            min_lr=0.0,
            warmup=10,
            precision="fp32",
        ),
        evaluation=Evaluation(examples=0, strata=False, without_attention=False),
        validate_every=0,
        checkpoint_every=1000,
        log_every=50,
    )
