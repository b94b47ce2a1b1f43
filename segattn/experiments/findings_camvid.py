"""Every head on CamVid's real photos, on frozen ImageNet features of EfficientNet-Lite0.

    segattn study findings_camvid --heads all --seeds 5 --data.root camvid --model.pretrained lite0.safetensors

`lite0.safetensors` holds weights of timm's tf_efficientnet_lite0; without the option they are downloaded. Maps of stride 16,
heads of 128 channels from random weights. About 100 minutes of one core. docs/findings.md rests on it.
"""

from dataclasses import replace

from segattn.config import Augmentation, Evaluation, Experiment, Features
from segattn.experiments import camvid, findings_local

SEEDS = 5


def experiment() -> Experiment:
    whole, local = camvid.experiment(), findings_local.experiment()
    return replace(
        local,
        name="findings_camvid",
        data=whole.data,
        augmentation=Augmentation(crop_size=(256, 320), scale_range=(0.75, 1.5)),
        model=replace(
            whole.model,
            mode="controlled",
            backbone="timm:tf_efficientnet_lite0",
            output_stride=16,
            pretrained="timm:tf_efficientnet_lite0.in1k",
            auxiliary_weight=0.0,
            backbone_options={},
        ),
        optimization=replace(local.optimization, lr=0.05),
        features=Features(copies=8),
        evaluation=Evaluation(examples=2),
    )
