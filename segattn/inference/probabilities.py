"""Class probabilities of every pixel: of one image, and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segattn import records
from segattn.config import Evaluation
from segattn.data.transforms import Normalization, to_tensor
from segattn.inference.export import ExportedModel
from segattn.inference.memory import in_words
from segattn.inference.optimized import OptimizedModel
from segattn.inference.windows import predict
from segattn.model import SegmentationModel


@torch.no_grad()
def class_probabilities(
    model: SegmentationModel | OptimizedModel | ExportedModel, image: np.ndarray, inference: Evaluation
) -> Float[Tensor, "K H W"]:
    """Class probabilities of an RGB image, uint8 (H, W, 3), in float32: averaged over flips and scales if there are any.

    Raises:
        ValueError: they do not fit into memory, or the network is in training mode.
    """
    height, width = image.shape[:2]
    with in_words(f"the class probabilities of {width}x{height} pixels do not fit into memory", 1, inference):
        tensor = to_tensor(image, Normalization.of(model)).to(next(model.parameters()).device)
        scores = predict(model, tensor[None], inference=inference)[0]
        if inference.num_passes > 1:
            return scores
        scores = scores.sub_(
            scores.amax(0)
        ).exp_()  # the softmax in place: a second map of K classes would double the memory
        return scores.div_(scores.sum(0))


def write_probabilities(
    path: Path,
    model: SegmentationModel | OptimizedModel | ExportedModel,
    image: np.ndarray,
    inference: Evaluation | None,
    class_names: Sequence[str],
) -> None:
    """Write an .npz with `probabilities`, float16 (K, H, W), and `class_names` (K,): 2 bytes for each class and pixel.

    Raises:
        ValueError: as `class_probabilities`, or the file cannot be written.
    """
    try:
        probabilities = class_probabilities(model, image, inference or Evaluation()).half().cpu().numpy()
        with records.writing(path, synced=False) as temporary, temporary.open("wb") as file:
            np.savez(file, probabilities=probabilities, class_names=np.array(class_names, dtype=str))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not written: {getattr(error, 'strerror', None) or error}") from None
