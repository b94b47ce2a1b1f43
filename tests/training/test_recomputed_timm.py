"""Activation checkpointing of networks of timm: by timm's own means, with the same gradients and fewer bytes kept."""

import pytest
import torch
from torch import nn

pytest.importorskip("timm")

from segattn import backbones
from segattn.benchmark import peak
from segattn.config import Model, Optimization
from segattn.training import execution
from tests import tiny_timm

WITH_BATCH_NORM = {
    "xcit_nano_12_p8_224", "maxvit_nano_rw_256", "efficientvit_b0", "tiny_vit_5m_224", "nextvit_small", "resnet18d",
    "efficientnet_b0", "tf_efficientnet_lite0", "mobilenetv3_small_050", "regnety_002", "hrnet_w18_small",
}  # fmt: skip
UNABLE = {"twins_svt_small"}
every_family = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long(*tiny_timm.SAMPLE)) for name in tiny_timm.EXAMPLES]
)
OPTION = r"set optimization\.activation_checkpointing to False"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    tiny_timm.cut(monkeypatch)


def network(name, **options):
    torch.manual_seed(0)
    return backbones.create(f"timm:{name}", output_stride=tiny_timm.output_stride(name), **options).train()


def step(body):
    """Numbers kept for the backward pass, and the gradient of each parameter."""
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel()
        return tensor

    torch.manual_seed(1)
    images = torch.randn(2, 3, 65, 97)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        maps = body(images)
    sum(x.square().mean() for x in maps).backward()
    return kept, {name: value.grad for name, value in body.named_parameters()}


@every_family
def test_family_has_the_same_gradients_and_keeps_less_or_is_refused(name):
    body = network(name)
    if name in WITH_BATCH_NORM | UNABLE:
        why = "which has batch norms" if name in WITH_BATCH_NORM else "not supported"
        with pytest.raises(ValueError, match=rf"not for timm:{name}.*{why}.*{OPTION}"):
            execution.checkpoint_activations(body)
        return
    kept, gradients = step(network(name))
    execution.checkpoint_activations(body)
    recomputed, again = step(body)
    assert recomputed < kept
    assert gradients.keys() == again.keys()
    assert all(torch.equal(gradients[key], again[key]) for key in gradients)


def test_skipped_branches_are_skipped_again():
    bodies = [network("vit_tiny_patch16_224", drop_path=0.5) for _ in range(2)]
    execution.checkpoint_activations(bodies[1])
    (_, gradients), (_, again) = map(step, bodies)
    assert all(torch.equal(gradients[key], again[key]) for key in gradients)


def test_frozen_batch_norms_are_no_obstacle():
    body = network("resnet18d")
    execution.freeze_norms(body)
    kept, gradients = step(body)
    statistics = {name: value.clone() for name, value in body.named_buffers()}
    execution.checkpoint_activations(body)
    body.zero_grad(set_to_none=True)
    recomputed, again = step(body)
    assert recomputed < kept
    assert all(torch.equal(gradients[key], again[key]) for key in gradients)
    assert all(torch.equal(value, statistics[name]) for name, value in body.named_buffers())


def test_planner_predicts_less_memory():
    model = Model(head="fcn", backbone="timm:vit_tiny_patch16_224", output_stride=16)
    settings = {"model": model, "crop_size": (97, 97), "num_classes": 3, "device": "cpu", "training": True}
    plain, recomputed = (
        peak.simulate(peak.Case(optimization=Optimization(batch_size=4, activation_checkpointing=on), **settings)).total
        for on in (False, True)
    )
    assert recomputed < plain


def test_another_network_is_refused():
    with pytest.raises(ValueError, match=rf"and networks of timm, not for Conv2d; {OPTION}"):
        execution.checkpoint_activations(nn.Conv2d(3, 3, 1))
