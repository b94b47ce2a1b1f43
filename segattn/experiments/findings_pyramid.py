"""The study of `findings_local` on a transformer pyramid, PVTv2-B0, frozen: maps of stride 32 in which every position sees all.

    segattn study findings_pyramid --heads all --seeds 3

Its ImageNet weights are downloaded. Random ones ask what a mechanism adds to maps that mix the whole image without having learnt
to:

    python -c "import timm, torch, safetensors.torch as st; torch.manual_seed(0); \\
        st.save_file(timm.create_model('pvt_v2_b0').state_dict(), 'random-pvt.safetensors')"
    segattn study findings_pyramid --heads all --seeds 3 --model.pretrained random-pvt.safetensors

About 50 minutes of one core.
"""

from dataclasses import replace

from segattn.config import Experiment, Features
from segattn.experiments import findings_local

SEEDS = 3


def experiment() -> Experiment:
    local = findings_local.experiment()
    model = replace(
        local.model,
        backbone="timm:pvt_v2_b0",
        output_stride=32,
        pretrained="timm:pvt_v2_b0.in1k",
        init_head="random",
        backbone_options={},
    )
    return replace(local, name="findings_pyramid", model=model, features=Features(copies=2))
