"""What cannot fit into memory is refused before the network runs, with advice that helps."""

import pytest
import torch

from segattn.config import Evaluation
from segattn.inference import memory
from segattn.inference.files import label_images
from segattn.inference.windows import predict, predict_confidence, predict_labels
from segattn.model import build_model
from tests import tiny

K = 19
H, W = 1500, 2000
SLIDE = Evaluation(mode="slide", crop_size=(769, 769))
GB = 10**9


@pytest.fixture
def model():
    torch.manual_seed(0)
    built = build_model(tiny.experiment("ccnet").model, K).eval()
    built.calls = []
    built.register_forward_pre_hook(lambda module, inputs: built.calls.append(tuple(inputs[0].shape)))
    return built


@pytest.fixture
def little(monkeypatch):
    """Sets what is available, and compares however little is needed."""

    def set_to(available):
        monkeypatch.setattr(memory, "available", lambda device: available)
        monkeypatch.setattr(memory, "_LEAST_BYTES", 0)

    return set_to


@pytest.mark.parametrize("ask", [predict, predict_labels, predict_confidence])
@pytest.mark.parametrize("inference", [Evaluation(), SLIDE, Evaluation(flip=True)], ids=["whole", "slide", "flip"])
def test_too_large_an_image_is_refused_before_the_network_runs(ask, inference, model, little):
    little(10**6)
    with pytest.raises(
        ValueError, match=r"1 x 2000x1500 pixels with 19 classes need about .* GB, and 0\.0 GB are available"
    ):
        ask(model, torch.zeros(1, 3, H, W), inference=inference)
    assert model.calls == []  # not even by the hooks of the prediction


def test_what_fits_is_not_refused(model, little):
    little(GB)
    assert predict_labels(model, torch.zeros(1, 3, 65, 97), inference=SLIDE).shape == (1, 65, 97)


@pytest.mark.parametrize(
    ("images", "inference", "maps", "advised"),
    [
        (2, Evaluation(), False, "smaller batch"),
        (2, SLIDE, False, "smaller batch"),
        (1, Evaluation(), True, "--mode slide"),
        (1, SLIDE, False, "--crop-size 512x512"),
        (1, SLIDE, True, "ask for labels only"),
        (1, Evaluation(mode="slide", crop_size=(321, 512)), False, "scale the image down"),
    ],
)
def test_advice_is_another_setting_than_the_one_that_failed(images, inference, maps, advised):
    text = memory.advice(images, inference, maps=maps)
    assert advised in text
    assert ("slide" in text) == (images == 1 and inference.mode == "whole")


def test_allocation_that_fails_is_advised_on_by_its_settings(model, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("segattn.inference.files.predict_labels", fails)
    with pytest.raises(ValueError, match=r"1 x 40x30 pixels do not fit into memory; use a smaller window"):
        label_images(model, [torch.zeros(30, 40, 3, dtype=torch.uint8).numpy()], SLIDE)


def bytes_of(model, inference, *, maps, size=(H, W)):
    return memory.estimate(model, 1, size, K, inference, size, 4, maps=maps)


def test_estimate_of_whole_maps_counts_them_as_they_exist_at_once(model, monkeypatch):
    monkeypatch.setattr(memory, "_peak", lambda model, batch, size: 10**6)
    one = 4 * K * H * W
    assert bytes_of(model, Evaluation(), maps=False) == H * W + 10**6
    assert bytes_of(model, Evaluation(), maps=True) == one + 10**6
    assert bytes_of(model, Evaluation(flip=True), maps=True) == 2 * one + 10**6
    assert bytes_of(model, Evaluation(scales=(0.5, 1.0, 2.0)), maps=True) == 3 * one


def test_estimate_of_windows_hardly_grows_with_the_image(model):
    small, large = (bytes_of(model, SLIDE, maps=False, size=size) for size in ((3000, 4000), (6000, 8000)))
    assert large - small == 36_000_000  # a byte a label
    assert bytes_of(model, SLIDE, maps=True) - bytes_of(model, SLIDE, maps=False) == 4 * K * H * W


def test_the_networks_peak_is_predicted_without_running_it(model):
    peak = memory._peak(model, 1, (H, W))
    assert model.calls == []
    assert peak > 4 * 64 * (H // 4) * (W // 4)  # more than one map of stage 1
    assert memory._peak(model, 1, (2 * H, W)) > 1.9 * peak
    assert memory._peak(model, 1, (65, 97)) == 0  # not predicted: small


def test_model_of_ones_own_that_cannot_be_predicted_is_not_refused(little):
    class Reads(torch.nn.Module):
        num_classes = K

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def logits(self, images):
            return torch.from_numpy(images.numpy())

    assert memory._peak(Reads().eval(), 1, (H, W)) == 0
