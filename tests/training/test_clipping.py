"""Clipping: the norm is that of the whole batch's gradient over what is trained, however the batch is computed."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from segattn.config import Optimization
from segattn.model import create_model
from segattn.training.optimization import optimizer_of
from segattn.training.step import Step


def gradients(*, frozen=False, scale=None, **settings):
    """Gradients that the optimiser sees in one step, by name."""
    torch.manual_seed(0)
    options = {"channels": 8, "dropout": 0.0}
    model = create_model(
        *("fcn",),
        num_classes=3,
        backbone="resnet18",
        head_options=options,
        backbone_options={"width": 8},
        auxiliary_weight=0,
    ).eval()
    model.training = model.head.training = True  # outputs of training, statistics of evaluation: parts give the whole
    if frozen:
        model.backbone.requires_grad_(False)
    optimization = Optimization(batch_size=4, channels_last=False, lr=1e-3, **settings)
    AcceleratorState._reset_state(reset_partial_state=False)  # its precision may be that of another test
    accelerator = Accelerator(cpu=True)
    network, optimizer = accelerator.prepare(model, optimizer_of(model, optimization))
    seen = {}
    optimizer.optimizer.register_step_pre_hook(
        lambda *_: seen.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    )
    if scale is not None:  # a loss scale as fp16's: gradients are `scale` times too large until they are unscaled
        genuine = accelerator.backward
        accelerator.backward = lambda loss: genuine(loss * scale)
        accelerator.unscale_gradients = lambda *_: [
            p.grad.div_(scale) for p in model.parameters() if p.grad is not None
        ]
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(3, (4, 33, 33), generator=generator)
    label[0, 5:] = 255
    batch = {"image": 5 * torch.randn(4, 3, 33, 33, generator=generator), "label": label, "names": [], "indices": []}
    Step(optimization, accelerator, network, optimizer, model)(batch)
    return seen


def norm(tensors):
    return torch.stack([value.norm() for value in tensors.values()]).norm().item()


def test_gradient_above_the_norm_is_scaled_down_to_it_and_keeps_its_direction():
    plain, clipped = gradients(), gradients(clip_norm=0.01)
    assert norm(plain) > 0.1
    assert norm(clipped) == pytest.approx(0.01, rel=1e-4)
    for name, value in plain.items():
        assert torch.allclose(clipped[name], value * 0.01 / norm(plain), rtol=1e-3, atol=1e-9), name


def test_gradient_below_the_norm_is_left_alone():
    plain, clipped = gradients(), gradients(clip_norm=1e6)
    assert all(torch.equal(plain[name], clipped[name]) for name in plain)


def test_norm_is_that_of_the_trained_part():
    clipped = gradients(clip_norm=0.01, frozen=True)
    assert {name.split(".")[0] for name in clipped} == {"head"}
    assert norm(clipped) == pytest.approx(0.01, rel=1e-4)


def test_parts_of_a_batch_are_clipped_together():
    whole, parts = gradients(clip_norm=0.01), gradients(clip_norm=0.01, accumulation=4)
    assert all(torch.allclose(parts[name], whole[name], rtol=1e-2, atol=1e-7) for name in whole)


def test_gradients_are_unscaled_before_they_are_clipped():
    whole, scaled = gradients(clip_norm=0.01), gradients(clip_norm=0.01, scale=1024.0)
    assert all(torch.allclose(scaled[name], whole[name], rtol=1e-2, atol=1e-7) for name in whole)
