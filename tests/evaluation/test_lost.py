"""What is lost in another form, worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from segattn import data
from segattn.config import Evaluation
from segattn.evaluation.lost import labels_changed, mean_iou_lost


class Threshold(nn.Module):
    """Class 1 where red is above a threshold, else class 0; of `classes` classes."""

    def __init__(self, threshold, classes=2):
        super().__init__()
        self.threshold, self.num_classes = nn.Parameter(torch.tensor(threshold)), classes
        self.mean, self.std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        self.eval()

    def forward(self, images):
        scores = torch.zeros(len(images), self.num_classes, *images.shape[-2:])
        scores[:, 1] = images[:, 0] - self.threshold
        return scores


def test_the_share_of_pixels_with_another_label():
    image = np.zeros((2, 5, 3), np.uint8)
    image[0, :, 0] = (10, 60, 110, 160, 210)
    loss = labels_changed(Threshold(0.5), Threshold(0.3), [image, image[:1, :2]], Evaluation())
    assert loss.points == pytest.approx(100 / 12)  # 110 / 255 alone lies between 0.3 and 0.5
    assert loss.text == "labels on 2 images without masks: 8.33 % of the pixels change"


def test_points_of_mean_iou():
    dataset = data.load("streets", "val", num_images=2, height=32, width=64)
    first, second = (Threshold(threshold, dataset.num_classes) for threshold in (0.5, 2.0))
    loss = mean_iou_lost(first, second, dataset, Evaluation())
    assert loss.what == "points of mIoU"
    assert loss.text.startswith("mIoU on 2 images of streets val: ")
    assert loss.points != 0
    assert mean_iou_lost(second, first, dataset, Evaluation()).points == pytest.approx(-loss.points)
