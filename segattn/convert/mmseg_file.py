"""Converts mmsegmentation's checkpoint files to our model folders and back. Only tensors and plain values are loaded, no code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segattn import checkpoint, records
from segattn import config as configuration
from segattn.backbones import archive
from segattn.convert import mmseg_config
from segattn.convert.mmseg import Converted, from_mmseg, to_mmseg
from segattn.data.files.palette import voc_palette
from segattn.records.integrity import one_line

Color = tuple[int, int, int]


@dataclass(frozen=True)
class File:
    """The contents of a checkpoint file of mmsegmentation."""

    state: Mapping[str, Tensor]
    config: str | None
    """Text of its configuration."""
    class_names: list[str] | None
    palette: list[Color] | None


def read(path: str | Path) -> File:
    """Read a checkpoint: a state dict alone, or with `meta` beside it.

    Raises:
        ValueError: no such file, a truncated one, not a checkpoint, or one that needs code to load.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a checkpoint (.pth) of mmsegmentation")
    try:
        raw = archive.read(path)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: holds more than tensors and plain values, or is not a checkpoint; it is not loaded, because that could run "
            f"code ({str(error).splitlines()[0]}). mmsegmentation's tools/misc/publish_model.py writes a copy with only "
            "the weights."
        ) from None
    except Exception as error:
        raise ValueError(f"{path}: not readable as a checkpoint ({one_line(error)}); it may be truncated") from None
    if not isinstance(raw, Mapping):
        raise ValueError(f"{path}: holds {type(raw).__name__}, not a state dict")
    state, meta = raw.get("state_dict", raw), raw.get("meta", {})
    if isinstance(state, Mapping) and (fault := archive.fault_of(state)):
        raise ValueError(f"{path}: {fault}")
    if not isinstance(meta, Mapping) or "state_dict" not in raw:
        meta = {}
    described = meta.get("dataset_meta")
    described = described if isinstance(described, Mapping) else {}
    text = meta.get("cfg") or meta.get("config")
    return File(
        state=state,
        config=text if isinstance(text, str) else None,
        class_names=_class_names(described.get("classes") or described.get("CLASSES") or meta.get("CLASSES")),
        palette=_palette(described.get("palette") or described.get("PALETTE") or meta.get("PALETTE")),
    )


def import_file(
    path: str | Path, folder: str | Path, *, config: str | Path | None = None, **expected: Any
) -> Converted:
    """Write mmsegmentation's checkpoint `path` as a folder for `segattn.load_model`; `expected` as in `from_mmseg`.

    `config` is a configuration file, in place of the text in the checkpoint.

    Raises:
        ValueError: the checkpoint cannot be read or converted, or the folder holds a model; nothing is written then.
    """
    path, folder = Path(path), Path(folder)
    if (folder / "config.json").exists() or folder.is_file():
        raise ValueError(f"{folder} exists; give another folder")
    try:
        text = None if config is None else records.read_bytes(config).decode()
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the configuration {config}: {error}") from None
    file = read(path)
    try:
        converted = from_mmseg(file.state, config=text or file.config, **expected)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    names = file.class_names or [f"class {index}" for index in range(converted.num_classes)]
    palette = file.palette or voc_palette(converted.num_classes)
    if len(names) == 1 and converted.num_classes == 2:  # the class of the only logit
        names = ["background" if names[0] != "background" else "not background", *names]
        palette = [(0, 0, 0), *palette] if len(palette) == 1 else palette
    for what, entries in (("class names", names), ("colours", palette)):
        if len(entries) != converted.num_classes:
            raise ValueError(
                f"{path}: names {len(entries)} {what}, but its classifier has {converted.num_classes} classes"
            )
    experiment = configuration.Experiment(
        name=path.stem,
        data=configuration.Data(name="folder"),
        model=converted.network,
        evaluation=converted.evaluation,
    )
    checkpoint.save_model(converted.build(), folder, experiment=experiment, class_names=names, palette=palette)
    return converted


def export_file(
    folder: str | Path, path: str | Path, *, old_keys: bool = False, allow_modules: Sequence[str] = ()
) -> str:
    """Write a folder of ours as mmsegmentation's checkpoint `path`; returns the configuration text that goes with it.

    `allow_modules` as in `checkpoint.load_model`.

    Raises:
        ValueError: no model in the folder, one that mmsegmentation has no counterpart of, or the file exists.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(f"{path} exists; give another file")
    model = checkpoint.load_model(folder, allow_modules=allow_modules)
    assert model.experiment  # as of every network that was loaded, and so are names and colours
    assert model.class_names
    assert model.palette
    network = model.experiment.model
    text = mmseg_config.write(network, model.num_classes, model.experiment.evaluation)
    names, palette = list(model.class_names), [list(color) for color in model.palette]
    state = to_mmseg(model.state_dict(), network.head, old_keys=old_keys)
    described = {"classes": names, "palette": palette}
    meta = {"dataset_meta": described, "CLASSES": names, "PALETTE": palette, "cfg": text, "config": text}
    buffer = io.BytesIO()
    torch.save({"meta": meta, "state_dict": state}, buffer)
    records.write_bytes(buffer.getvalue(), path)
    return text


def _class_names(names: object) -> list[str] | None:
    if names is None:
        return None
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"the checkpoint's class names should be a list of names, not {names!r:.80}")
    return list(names)


def _palette(colours: object) -> list[Color] | None:
    """Colours as tuples; None where there are none or another form, since they change no result."""
    try:
        return [(int(red), int(green), int(blue)) for red, green, blue in colours]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
