"""Weights of backbones that torchvision and mmsegmentation publish, and files at a URL.

Downloads lie in torch's hub folder (`TORCH_HOME`); the hash in a published file's name is checked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.error import URLError

import torch

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
        f"pretrained backbone {where}: no such file; give the folder of a run, a trunk of segattn zoo, a local .pth or "
        f".safetensors file, a URL, timm:NAME of a network of timm, or one of {', '.join(PUBLISHED)}"
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
