"""Pretrained backbones from a local file, a URL, or the name of one that torchvision or mmsegmentation publishes.

Downloads lie in torch's hub folder (`TORCH_HOME`); the hash in a published file's name is checked. Tensors only are read from
them, no code is run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from segattn.catalogue import unknown

PUBLISHED = {
    "torchvision:resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "torchvision:resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "torchvision:resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "torchvision:resnet101": "https://download.pytorch.org/models/resnet101-63fe2227.pth",
    "mmsegmentation:resnet18_v1c": "https://download.openmmlab.com/pretrain/third_party/resnet18_v1c-b5776b93.pth",
    "mmsegmentation:resnet50_v1c": "https://download.openmmlab.com/pretrain/third_party/resnet50_v1c-2cccc1ad.pth",
    "mmsegmentation:resnet101_v1c": "https://download.openmmlab.com/pretrain/third_party/resnet101_v1c-e67eebb6.pth",
}
"""ImageNet weights; torchvision's need the backbone option stem=plain, mmsegmentation's have the deep stem."""


def load_backbone_weights(backbone: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a backbone's weights in torchvision's or mmsegmentation's naming, without running any code.

    `path` is a file, a URL, or a name of `PUBLISHED`.

    Raises:
        ValueError: no such file, no state dict, or keys that do not fit (both lists are named).
    """
    path = local_file(path)
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"pretrained backbone {path}: cannot be read as tensors only ({error})") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state)  # type: ignore[assignment]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"pretrained backbone {path}: it holds no state dict (names and tensors)")
    if any(key.startswith("backbone.") for key in state):
        state = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    own = backbone.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    if missing or unexpected or shapes:
        raise ValueError(
            f"pretrained backbone {path} does not fit: missing {_some(missing)}; unexpected {_some(unexpected)}; "
            f"other shape {_some(shapes)}. A plain-stem file (torchvision) needs backbone option stem='plain'."
        )
    backbone.load_state_dict(state, strict=False)


def local_file(where: str | os.PathLike[str]) -> str:
    """The file itself, downloaded if `where` is a URL or a name of `PUBLISHED` and it is not there yet.

    Raises:
        ValueError: an unknown name, or a download that fails: then the message says how to go on offline.
    """
    where = os.fspath(where)
    if os.path.isfile(where):
        return where
    if re.match(r"(torchvision|mmsegmentation):", where):
        if where not in PUBLISHED:
            raise unknown("pretrained backbone", where, PUBLISHED)
        return _downloaded(PUBLISHED[where])
    if re.match(r"(https?|file)://", where):
        return _downloaded(where)
    raise ValueError(
        f"pretrained backbone {where}: no such file; give a local .pth or .safetensors file, a URL, or one of "
        f"{', '.join(PUBLISHED)}"
    )


def _downloaded(url: str) -> str:
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])
    if path.is_file():
        return str(path)
    hashed = re.search(r"-([a-f0-9]{8,})\.", path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hashed[1] if hashed else None, progress=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ValueError(
            f"pretrained backbone {url}: cannot be downloaded ({error}). Offline, get the file elsewhere and give its path "
            f"(--model.pretrained FILE), or put it at {path}"
        ) from None
    return str(path)


def _some(keys: list[str], limit: int = 5) -> str:
    """A few keys and how many more there are."""
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return (", ".join(keys[:limit]) + more) or "none"
