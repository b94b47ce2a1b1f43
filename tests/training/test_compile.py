"""torch.compile with inductor, which writes and compiles C++: half a minute for four convolutions and a head, uncached."""

import copy
import shutil

import pytest
import torch
from torch import nn

from segattn import heads
from segattn.config import Optimization
from segattn.model import SegmentationModel
from segattn.training import execution
from segattn.training.losses import segmentation_loss

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler, and there is no g++ here"),
]


class FourMaps(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(k, 5, 3, stride=s, padding=1) for k, s in ((3, 2), (5, 2), (5, 1), (5, 1))
        )

    def forward(self, x):
        maps = []
        for convolution in self.convolutions:
            x = convolution(x)
            maps.append(x)
        return maps


@pytest.mark.long
def test_compiled_network_has_outputs_losses_and_gradients_of_the_eager_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.manual_seed(0)
    head = heads.create("fcn", (5, 5, 5, 5), 3, channels=7, dropout=0.0)
    eager = SegmentationModel(FourMaps(), head, None, num_classes=3)
    compiled = execution.arrange(copy.deepcopy(eager), Optimization(compile=True), synchronize=False)
    images = torch.randn(2, 3, 31, 37).to(memory_format=torch.channels_last)
    label = torch.randint(3, (2, 31, 37))
    losses = []
    for model in (eager, compiled):
        total, _ = segmentation_loss(model.train()(images), label, {"out": 1.0})
        total.backward()
        losses.append(total.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for (name, expected), parameter in zip(eager.named_parameters(), compiled.parameters(), strict=True):
        assert torch.allclose(parameter.grad, expected.grad, rtol=1e-3, atol=1e-6), name  # sums in another order
    with torch.no_grad():
        assert torch.allclose(compiled.eval()(images), eager.eval()(images), atol=1e-5)
    assert list(tmp_path.rglob("*.cpp")), "no C++ was generated: that was not inductor"
