"""ADE20K with ConvNeXt-T by its published recipe: 512x512 crops, batch 16, 160,000 iterations, layer-wise decay.

    segattn train ade20k_convnext --data-root PATH/TO/ade --head danet

Hours: not measured here.

Source: upernet_convnext_tiny_512_160k_ade20k_ss.py of the authors (Liu et al., arXiv 2201.03545) in
https://github.com/facebookresearch/ConvNeXt, and configs/convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py in
https://github.com/open-mmlab/mmsegmentation: AdamW with rate 1e-4 and decay 0.05, none on norms and biases; warm-up over 1,500
iterations from 1e-6 of the rate; polynomial with power 1 to 0; stochastic depth 0.4; windows of 512 with stride 341. With UPerNet
it reaches 46.11 % mIoU at a single scale.

Differences: the authors decay the rate by 0.9 a stage, with factors from 0.48 (stem) to 0.73 (stage 4); here it falls by 0.96 a
block, from 0.46 (stem) to 0.96 (last block). The head is one of ours, on a last map of stride 16, instead of UPerNet on four. The
weights are timm's, which saw ImageNet-12k first.
"""

from dataclasses import replace

from segattn.config import Evaluation, Experiment, Model
from segattn.experiments import ade20k_swin


def experiment() -> Experiment:
    swin = ade20k_swin.experiment()
    return replace(
        swin,
        name="ade20k_convnext",
        model=Model(
            backbone="timm:convnext_tiny",
            output_stride=16,
            align_corners=False,
            pretrained="timm:convnext_tiny",
            backbone_options={"drop_path": 0.4},
        ),
        optimization=replace(swin.optimization, lr=1e-4, weight_decay=0.05, layer_decay=0.96),
        evaluation=Evaluation(mode="slide", crop_size=(512, 512), stride=(341, 341), short_side=512),
    )
