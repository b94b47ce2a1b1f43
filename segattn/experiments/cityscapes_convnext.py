"""Cityscapes with ConvNeXt-T: 512x1024 crops, batch 16, 90,000 iterations of AdamW, layer-wise decay.

    segattn train cityscapes_convnext --data-root PATH/TO/cityscapes --head danet

Hours: not measured here.

Source: ConvNeXt's authors publish no recipe for Cityscapes. The optimiser, its schedule and stochastic depth are those of
`ade20k_convnext` (arXiv 2201.03545); crops, batch and iterations those of `cityscapes_swin` (arXiv 2112.01527).
"""

from dataclasses import replace

from segattn.config import Experiment
from segattn.experiments import ade20k_convnext, cityscapes_swin


def experiment() -> Experiment:
    swin, convnext = cityscapes_swin.experiment(), ade20k_convnext.experiment()
    return replace(
        swin,
        name="cityscapes_convnext",
        model=convnext.model,
        optimization=replace(convnext.optimization, iterations=swin.optimization.iterations),
    )
