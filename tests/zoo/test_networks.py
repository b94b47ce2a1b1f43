"""Each network of the zoo reaches its recorded figure, on any processor."""

import pytest
import torch

from docs.make.zoo import FIRST, SCENES
from segattn import config, data, load_model, zoo
from segattn.data.splits import open_split
from segattn.evaluation.evaluate import evaluate

POINTS = 0.002
"""0.2 points: sums in another order flip a few pixels between classes that are nearly equal."""


def figure(entry, model):
    """mIoU on the entry's first validation scenes, in fp32."""
    section = config.from_dict(entry.scored).data
    scenes = open_split(section, section.val_split, entry.first_images)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    return evaluate(model, scenes, config.from_dict(entry.experiment).evaluation).scores.mean_iou


@pytest.mark.slow
@pytest.mark.long("ccnet", "denoised_nl", "psp")  # both collections, both modes
@pytest.mark.parametrize("name", zoo.names())
def test_shipped_network_reaches_its_figure(name):
    entry = zoo.find(name)
    assert figure(entry, load_model(name)) == pytest.approx(entry.first_mean_iou, abs=POINTS)


@pytest.mark.usefixtures("tiny_zoo")
def test_tiny_network_reaches_its_figure_and_another_does_not():
    entry, other = zoo.find("streets-local/ccnet"), zoo.find("streets-local/ccnet-faithful")
    assert figure(entry, load_model(entry)) == pytest.approx(entry.first_mean_iou, abs=POINTS)
    assert figure(entry, load_model(other)) != pytest.approx(entry.first_mean_iou, abs=POINTS)


def test_every_class_occurs_in_the_first_scenes():
    """Otherwise a single pixel could add a class of IoU 0 to the mean, on some processors only."""
    height, width = SCENES["size"]
    scenes = data.load("streets", "val", height=height, width=width, num_images=FIRST)
    seen = {value for index in range(FIRST) for value in scenes[index].label.ravel().tolist()}
    assert set(range(scenes.num_classes)) <= seen
