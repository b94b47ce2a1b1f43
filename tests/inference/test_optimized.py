"""Networks made ready for inference against the networks that they were made from."""

import copy

import pytest
import torch
from torch import nn

import segattn
from segattn import heads
from segattn.inference.windows import predict_labels


def trained_looking(head: str, **options) -> nn.Module:
    """A small network whose norms and gammas are not at their start, so that folding them wrongly would show."""
    torch.manual_seed(0)
    model = segattn.create_model(
        head,
        num_classes=5,
        backbone="resnet18",
        backbone_options={"width": 8},
        head_options={"channels": 16},
        **options,
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias):
                nn.init.normal_(values, std=0.3)
            for values in (module.running_var, module.weight):
                nn.init.uniform_(values, 0.5, 1.5)
    for parameter in model.parameters():
        if parameter.ndim == 0:
            nn.init.constant_(parameter, 0.7)
    return model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 57, 89, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("head", heads.names())
def test_same_logits_and_no_norm_at_work(head, mode, images):
    model = trained_looking(head, mode=mode)
    before = copy.deepcopy(model.state_dict())
    fast = segattn.optimize(model)
    norms = []
    for module in fast.modules():
        if isinstance(module, nn.BatchNorm2d):  # in training only, as FLANet's auxiliary classifiers
            module.register_forward_hook(lambda *_: norms.append(_))
    with torch.no_grad():
        atol = 1e-3 if head == "large_kernel" else 1e-4  # it is quadratic in its input
        torch.testing.assert_close(fast(images), model(images), rtol=1e-4, atol=atol)
    assert not norms
    assert fast.network.auxiliary is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("head", heads.names())
def test_half_precision_is_near_and_comes_out_as_float32(head, images):
    model = trained_looking(head)
    fast = segattn.optimize(model, dtype=torch.bfloat16)
    logits, expected = fast(images), model(images)
    assert logits.dtype == torch.float32
    assert (logits - expected).abs().mean() < 0.05 * expected.abs().mean() + 0.02
    assert next(fast.network.backbone.parameters()).dtype == torch.bfloat16


def test_labels_are_the_networks_own(images):
    model = trained_looking("fcn")
    labels = predict_labels(segattn.optimize(model), images)
    assert (labels == predict_labels(model, images)).float().mean() > 0.999


class Reused(nn.Module):
    """A backbone's last convolution is used beside its norm."""

    channels = (4, 4, 4, 4)

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        nn.init.constant_(self.bn.running_mean, 3.0)

    def forward(self, images):
        y = self.conv(images)
        return [self.bn(y) + y] * 4


@pytest.mark.slow
def test_a_convolution_used_elsewhere_is_noticed():
    model = trained_looking("fcn")
    model.backbone, model.head = Reused(), heads.create("fcn", (4, 4, 4, 4), 5)
    nn.init.normal_(model.head.sandwich.classify.conv.weight)
    with pytest.raises(ValueError, match="used outside its norm"):
        segattn.optimize(model.eval())


def test_no_integers():
    with pytest.raises(ValueError, match=r"dtype=torch.int8 is not possible"):
        segattn.optimize(trained_looking("fcn"), dtype=torch.int8)


def test_no_training():
    fast = segattn.optimize(trained_looking("fcn"))
    assert not fast.eval().training
    with pytest.raises(ValueError, match="cannot be trained"):
        fast.train()
