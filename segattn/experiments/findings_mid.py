"""The study of `findings_local` on a backbone that sees 103 pixels, between the two trunks of the zoo.

    python -m docs.make.wider runs/streets-wider.safetensors
    segattn data pack streets --data-options "height=256,width=512,num_images=4000" --splits train -o runs/streets-packed
    segattn data pack streets --data-options "height=256,width=512,num_images=200" --splits val -o runs/streets-packed
    segattn train streets -o runs/streets_mid --iterations 4000 --model.pretrained runs/streets-wider.safetensors \\
        --model.backbone-options '{"width": 32, "receptive_field": 103}' --model.auxiliary-weight 0
    segattn study findings_mid --heads all --seeds 5

The trunk starts as `streets-local`, with kernels of 1x1 in stages 1 and 2 put at the centre of 3x3, and learns to use the rest of
them in half an hour of one core. Features and runs take as long as those of `findings_local`.
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import findings_local

SEEDS = 5


def experiment() -> Experiment:
    local = findings_local.experiment()
    options = {"width": 32, "receptive_field": 103}
    model = replace(local.model, pretrained="runs/streets_mid", backbone_options=options)
    return replace(local, name="findings_mid", model=model)
