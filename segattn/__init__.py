"""Attention networks for semantic segmentation: nine mechanisms, one protocol, one way of counting cost.

>>> import segattn
>>> model = segattn.create_model("ccnet", num_classes=19, backbone="resnet18")
"""

from __future__ import annotations

import importlib
import os

TYPE_CHECKING = False  # as that of typing, whose import takes longer than all of this file
__version__ = "0.1.0"
__all__ = [
    "__version__",
    "attention_maps",
    "create_model",
    "datasets",
    "export",
    "fastest",
    "heads",
    "load_exported",
    "load_model",
    "optimize",
    "predict",
    "push_to_hub",
]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from segattn import data as datasets
    from segattn import heads
    from segattn.checkpoint import load_model, push_to_hub
    from segattn.inference.export import load_exported
    from segattn.inference.export.write import export
    from segattn.inference.fastest import fastest
    from segattn.inference.optimized import optimize
    from segattn.inference.prediction import ImageLike, Network, Prediction
    from segattn.maps.look import attention_maps
    from segattn.model import create_model

_LAZY = {
    "attention_maps": ("segattn.maps.look", "attention_maps"),
    "create_model": ("segattn.model", "create_model"),
    "export": ("segattn.inference.export.write", "export"),
    "fastest": ("segattn.inference.fastest", "fastest"),
    "load_exported": ("segattn.inference.export", "load_exported"),
    "load_model": ("segattn.checkpoint", "load_model"),
    "push_to_hub": ("segattn.checkpoint", "push_to_hub"),
    "optimize": ("segattn.inference.optimized", "optimize"),
    "heads": ("segattn.heads", None),
    "datasets": ("segattn.data", None),
}


def predict(
    model: Network | str | os.PathLike[str],
    image: ImageLike,
    *,
    mode: str = "whole",
    crop_size: Sequence[int] | None = None,
    stride: Sequence[int] | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    device: str | None = None,
) -> Prediction:
    """Label one image: `labels` (H, W), `picture` in the classes' colours, and `probabilities()` (K, H, W) on demand.

    `model` is a network in eval mode, what `load_model` takes (a run's folder, a name of `segattn zoo`, or `hf://user/name`), or
    a file of `segattn export`; several images are labelled faster with a network that was loaded once. `image` is a path, a PIL
    image, or RGB values from 0 to 255 as uint8: an array (H, W, 3) or a tensor. The options are those of
    `segattn.config.Evaluation`; `device` is for a network that is loaded here, and by default the GPU if there is one.

    Raises:
        ValueError: no such network or image, an image of another type or shape, a setting out of range, or too little memory.

    >>> import numpy as np
    >>> result = predict("streets/ccnet", np.zeros((65, 97, 3), np.uint8), device="cpu")
    >>> result.labels.shape, result.picture.size, result.probabilities().shape
    ((65, 97), (97, 65), (19, 65, 97))
    """
    from segattn.inference import prediction

    inference = prediction.evaluation_of(mode=mode, crop_size=crop_size, stride=stride, flip=flip, scales=scales)
    if isinstance(model, str | os.PathLike):
        from segattn.checkpoint import load_model
        from segattn.device import resolve_device
        from segattn.inference import export

        if export.is_exported(model):
            model = export.load_exported(model, device=device or "auto", allow_modules=None)
        else:
            model = load_model(model, device=resolve_device(device or "auto"))
    elif device is not None:
        raise ValueError(
            f"device={device!r} is for a network that is loaded by name; move yours with model.to({device!r})"
        )
    return prediction.predict_image(model, image, inference)


def __getattr__(name: str) -> Any:
    """Import an attribute at its first use, so that `import segattn` and `segattn --help` stay fast."""
    if name not in _LAZY:
        raise AttributeError(f"module 'segattn' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = importlib.import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)


def __dir__() -> list[str]:
    """The public names, for completion in a notebook; nothing is imported for them."""
    return sorted(__all__)
