"""Prediction files in the formats of the test servers of Cityscapes, ADE20K and VOC; class indices for other data sets.

    cityscapes    CITY_SEQUENCE_FRAME_pred.png, the ids of labelIds (road is 7), at 2048x1024
    ade20k        NAME.png, 1 to 150 (0 would be "none of the classes", which is never predicted)
    voc           NAME.png, 0 to 20 with the colours as a palette; the server's folder for them is
                  results/VOC2012/Segmentation/comp6_test_cls (comp5_test_cls if trained on VOC's own images only)
    any other     NAME.png, class indices with the colours as a palette; folders in names are kept

Every file has the size of its image.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segattn import records
from segattn.config import Evaluation
from segattn.data import Dataset
from segattn.data.ade20k import CLASS_OF_VALUE
from segattn.data.cityscapes import CLASS_OF_ID
from segattn.data.loader import EvaluationStream
from segattn.evaluation.evaluate import class_order
from segattn.inference.windows import predict_labels
from segattn.model import SegmentationModel


class PredictionFiles:
    """Writes the predictions of a split into a folder, in the format of its data set.

    Raises:
        ValueError: the folder is a file or is not empty: files of an earlier run would be submitted with the new ones.
    """

    def __init__(self, dataset: Dataset, folder: str | Path) -> None:
        self.dataset, self.folder = dataset, Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{folder} is a file; give a folder for the predictions")
        if self.folder.is_dir() and any(self.folder.glob("[!.]*")):
            raise ValueError(f"{folder} is not empty; give a new folder for the predictions")
        stored = {"cityscapes": CLASS_OF_ID, "ade20k": CLASS_OF_VALUE}.get(dataset.name)
        self._values = np.arange(dataset.num_classes, dtype=np.uint8)
        if stored is not None:
            value_of = {k: value for value, k in stored.items()}
            self._values = np.array([value_of[k] for k in range(dataset.num_classes)], np.uint8)
        self._palette = stored is None

    def path(self, index: int) -> Path:
        """The file of a sample's prediction."""
        name = self.dataset.image_name(index)
        if self.dataset.name == "cityscapes":
            return self.folder / f"{Path(name).name.removesuffix('_leftImg8bit')}_pred.png"
        if self.dataset.name in ("ade20k", "voc"):
            return self.folder / f"{Path(name).name}.png"
        return self.folder / f"{name}.png"

    def __call__(self, index: int, prediction: Tensor) -> None:
        """Write the class indices (H, W) of sample `index`.

        Raises:
            ValueError: the file cannot be written.
        """
        picture = Image.fromarray(self._values[prediction.cpu().numpy()])
        if self._palette:
            picture.putpalette([channel for colour in self.dataset.palette for channel in colour])
        path = self.path(index)
        try:
            with records.writing(path, synced=False) as temporary:
                picture.save(temporary)
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error


@torch.no_grad()
def predict_split(
    model: SegmentationModel,
    dataset: Dataset,
    on_prediction: Callable[[int, Tensor], object],
    *,
    inference: Evaluation | None = None,
    batch_size: int = 4,
    rank: int = 0,
    world_size: int = 1,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Call `on_prediction(index, class indices (H, W))` for every image of a split; the split needs no labels.

    Each of `world_size` processes takes its share. Classes are matched by name, as in `evaluate`.

    Raises:
        ValueError: the model and the data set have different classes.
    """
    in_order = class_order(model, dataset)
    device = next(model.parameters()).device
    model.eval()
    for batch in EvaluationStream(dataset, batch_size=batch_size, rank=rank, world_size=world_size, network=model):
        with autocast():
            predictions = in_order(predict_labels(model, batch["image"].to(device), inference=inference))
        for index, prediction in zip(batch["indices"], predictions, strict=True):
            on_prediction(index, prediction)
