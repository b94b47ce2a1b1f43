from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from segattn import heads
from segattn.experiments import findings_local
from segattn.heads.parts import detail
from segattn.model import build_model

NAME = "segattn.heads.parts.detail"
CHANNELS = (6, 7, 8, 16)


def pair(**options):
    """The controlled head, and the one with a detail branch and the same weights."""
    torch.manual_seed(0)
    plain = heads.create(options.get("around", "fcn"), CHANNELS, 5, mode="controlled", channels=8)
    network = detail.Head(CHANNELS, 5, channels=8, **options)
    network.load_state_dict(plain.state_dict(), strict=False)
    return plain.eval(), network.eval()


def maps(H=8, W=12):
    torch.manual_seed(1)
    return [torch.randn(2, C, H // step, W // step) for C, step in zip(CHANNELS, (1, 2, 4, 4), strict=True)]


@pytest.mark.parametrize("around", ["fcn", "ccnet", "denoised_nl"])
@pytest.mark.parametrize("stage", [1, 2])
def test_it_starts_as_the_controlled_head_at_a_finer_stride(around, stage):
    plain, network = pair(around=around, stage=stage)
    features = maps()
    logits = network(features)["out"]
    size = features[stage - 1].shape[2:]
    expected = F.interpolate(plain(features)["out"], size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, expected)
    assert network.loss_weights == plain.loss_weights


def test_the_correction_is_the_equation():
    _, network = pair(width=3)
    torch.nn.init.normal_(network.correction.weight)
    features = [x.double() for x in maps()]
    network.double()
    up = F.interpolate(detail.ControlledHead.forward(network, features)["out"], (8, 12), mode="bilinear")
    scale = 1 / (1 + network.early.bn.eps) ** 0.5  # of a batch norm that has seen nothing
    early = (F.conv2d(features[0], network.early.conv.weight) * scale).relu()
    both = (F.conv2d(torch.cat([up, early], 1), network.both.conv.weight, padding=1) * scale).relu()
    weight = network.correction.weight[:, :, 0, 0]
    torch.testing.assert_close(network(features)["out"], up + torch.einsum("kc,bchw->bkhw", weight, both))


def test_every_weight_learns_once_the_correction_is_not_zero():
    _, network = pair()
    torch.nn.init.normal_(network.correction.weight)
    network.train()(maps())["out"].square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    "options", [{"stage": 0}, {"stage": 4}, {"width": 0}, {"around": "nobody"}, {"around": NAME}], ids=str
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match=str(options.get("around", next(iter(options))))):
        detail.Head(CHANNELS, 5, **options)


def test_a_network_of_the_zoo_lends_it_all_but_the_branch():
    local = findings_local.experiment().model
    model = build_model(replace(local, head=NAME, mode="faithful"), 19)
    assert "head: sandwich from there, early, both and correction at random" in model.started_from
    assert model.eval()(torch.randn(1, 3, 64, 96)).shape == (1, 19, 64, 96)
