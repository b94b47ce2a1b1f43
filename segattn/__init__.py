"""Attention networks for semantic segmentation: nine mechanisms, one protocol, one way of counting cost.

>>> import segattn
>>> model = segattn.create_model("ccnet", num_classes=19, backbone="resnet18")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "attention_maps", "create_model", "datasets", "heads", "load_model", "optimize"]

if TYPE_CHECKING:
    from segattn import data as datasets
    from segattn import heads
    from segattn.checkpoint import load_model
    from segattn.inference.optimized import optimize
    from segattn.maps.look import attention_maps
    from segattn.model import create_model

_LAZY = {
    "attention_maps": ("segattn.maps.look", "attention_maps"),
    "create_model": ("segattn.model", "create_model"),
    "load_model": ("segattn.checkpoint", "load_model"),
    "optimize": ("segattn.inference.optimized", "optimize"),
    "heads": ("segattn.heads", None),
    "datasets": ("segattn.data", None),
}


def __getattr__(name: str) -> Any:
    """Import an attribute at its first use, so that `import segattn` and `segattn --help` stay fast."""
    if name not in _LAZY:
        raise AttributeError(f"module 'segattn' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = importlib.import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)
