"""A network to start from, whatever wrote it: a run, a study, the zoo, mmsegmentation, or a file of weights. No code is run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from segattn import checkpoint, records
from segattn.backbones import pretrained
from segattn.convert import mmseg_file
from segattn.convert.mmseg import from_mmseg

_LATEST = "latest.pth"
_NAMES_LATEST = "last_checkpoint"  # a file of mmengine, with the path of the newest checkpoint


@dataclass(frozen=True)
class Source:
    """A network to start from."""

    where: str
    """As messages call it."""
    state: Mapping[str, Tensor]
    """Under the names of our networks: `backbone.`, `head.`, `auxiliary.`."""
    network: Mapping[str, Any] | None = None
    """The `model` section of its experiment; None for a file of weights that does not say it."""
    class_names: Sequence[str] | None = None
    notices: tuple[str, ...] = ()
    """What was assumed or changed beyond names, in sentences."""


def read(where: str | os.PathLike[str], *, head: str = "", mode: str = "", seed: int = 0) -> Source:
    """The network that `where` names.

    It is the folder of a run; of a study, for its run of this head, mode and seed; a network of the zoo, or a trunk, for its
    network of this head and mode or else the trunk itself; a network of the hub; a checkpoint of mmsegmentation, or a folder
    with one; or what `model.pretrained` takes: a file, a URL or a published name.

    Raises:
        ValueError: nothing of that name, it cannot be read or was changed since it was written, or several are possible.
    """
    where = os.fspath(where)
    path = Path(where)
    if path.name == "model.safetensors" and (path.parent / "config.json").is_file():
        path = path.parent
    if path.is_dir():
        if (path / "model.safetensors").is_file() or any(path.glob("[!.]*/model.safetensors")):
            return _of_ours(pretrained.run_of(path, head, mode, seed))
        return _of_file(*_checkpoint_in(path))
    if path.is_file():
        return _of_file(path, path.with_suffix(".py"))
    if path.exists():
        raise ValueError(f"{where}: neither a file nor a folder")
    if ":" in where and not where.startswith("hf:/"):
        weights = pretrained.read(where)
        return Source(where, {f"backbone.{name}": value for name, value in weights.backbone.items()})
    networks = checkpoint.find_models(where)
    same = (
        network for network in networks if (getattr(network, "head", ""), getattr(network, "mode", "")) == (head, mode)
    )
    return _of_ours(next(same, networks[0]))


def _of_ours(source: checkpoint.Source) -> Source:
    raw = checkpoint.read_config(source)
    _, state = checkpoint.weights_of(source, raw)
    try:
        network = {"backbone_options": {}, "output_stride": 8, **raw["experiment"]["model"]}
        network["head"], network["mode"], network["backbone"]
        names = [str(name) for name in raw["class_names"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{source}: its experiment is damaged ({error!r})") from None
    return Source(f"{source}" if isinstance(source, Path) else f"{source} of segattn zoo", state, network, names)


def _checkpoint_in(folder: Path) -> tuple[Path, Path]:
    """The checkpoint of a folder of mmsegmentation, and its configuration.

    Raises:
        ValueError: there is no checkpoint, or several are possible.
    """
    files = sorted(folder.glob("*.pth"))
    if not files:
        raise ValueError(
            f"{folder}: no trained network and no checkpoint (.pth) of mmsegmentation; give the folder of a finished run, a "
            "network of segattn zoo, or a checkpoint"
        )
    latest = folder / _LATEST
    if (named := folder / _NAMES_LATEST).is_file():
        latest = folder / Path(records.read_bytes(named).decode(errors="replace").strip()).name
    chosen = files if len(files) == 1 else [file for file in files if file == latest]
    if not chosen:
        listed = ", ".join(file.name for file in files[:5])
        more = f" and {len(files) - 5} more" if len(files) > 5 else ""
        raise ValueError(f"{folder}: which of its checkpoints is meant? Give one of {listed}{more}")
    configurations = sorted(folder.glob("*.py"))
    return chosen[0], configurations[0] if len(configurations) == 1 else chosen[0].with_suffix(".py")


def _of_file(path: Path, config: Path) -> Source:
    """A checkpoint of mmsegmentation, a state dict of a network of ours, or a backbone."""
    if path.suffix == ".safetensors":
        state: Mapping[str, Tensor] = checkpoint.read_tensors(path)
        text, names = None, None
    else:
        file = mmseg_file.read(path)
        state, text, names = file.state, file.config, file.class_names
    if any("decode_head." in name for name in state):
        return _of_mmseg(path, state, text or _text(config), names)
    if not any(name.startswith("backbone.") for name in state):
        state = {f"backbone.{name}": value for name, value in state.items() if not name.startswith("fc.")}
    return Source(str(path), state)


def _of_mmseg(path: Path, state: Mapping[str, Tensor], text: str | None, names: list[str] | None) -> Source:
    try:
        converted = from_mmseg(state, config=text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    notices = list(converted.notices)
    if converted.assumed:
        listed = ", ".join(f"{name}={value}" for name, value in converted.assumed.items())
        notices.append(f"It has no configuration; assumed {listed} (put the configuration beside it as {path.stem}.py)")
    if names is not None and len(names) == 1 and converted.num_classes == 2:  # the class of the only logit
        names = ["background" if names[0] != "background" else "not background", *names]
    if names is not None and len(names) != converted.num_classes:
        raise ValueError(f"{path}: names {len(names)} classes, but its classifier has {converted.num_classes}")
    return Source(str(path), converted.state, vars(converted.network), names, tuple(notices))


def _text(config: Path) -> str | None:
    try:
        return records.read_bytes(config).decode() if config.is_file() else None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the configuration {config}: {error}") from None
