"""The study of `findings_camvid_local` on LabelMeFacade: photos of houses, 8 classes, among them windows and doors.

    segattn study findings_facade --heads fcn ccnet star non_local --data.root labelmefacade \\
        --model.pretrained lite0.safetensors

Froehlich, Rodner, Denzler: A Fast Approach for Pixelwise Labeling of Facade Images, ICPR 2010; the photos are for research only.
`labelmefacade` is a copy of the public repository cvjena/labelmefacade. Of its list of 845 photos, which its authors test on, a
quarter is for validation and the rest for training; its 99 for training are `test` here. Two to six minutes a run on one core.
"""

from dataclasses import replace

from segattn.config import Augmentation, Data, Experiment
from segattn.experiments import findings_camvid_local

SEEDS = 3
CLASSES = {
    "building": [128, 0, 0],
    "car": [128, 0, 128],
    "door": [128, 128, 0],
    "pavement": [128, 128, 128],
    "road": [128, 64, 0],
    "sky": [0, 128, 128],
    "vegetation": [0, 128, 0],
    "window": [0, 0, 128],
}


def experiment() -> Experiment:
    local = findings_camvid_local.experiment()
    return replace(
        local,
        name="findings_facade",
        data=Data(
            name="folder",
            root="labelmefacade",
            options={
                "masks": "labels",
                "classes": CLASSES,
                "ignore": [[0, 0, 0]],
                "splits": {"train": "test", "test": "train"},
                "val_fraction": 0.25,
            },
        ),
        augmentation=Augmentation(crop_size=(256, 320), scale_range=(0.5, 1.0)),
        features=replace(local.features, copies=4),
    )
