"""Safe checkpoints: safetensors and JSON, written completely or not at all, loaded without running any code.

A trained model is a folder with `model.safetensors` and `config.json`. An unfinished run has `checkpoints/iteration-*`; each is
complete, because it is written under a temporary name, synced, and renamed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

from segattn import config as configuration
from segattn import records, zoo
from segattn.model import SegmentationModel, build_model

PathLike = str | os.PathLike[str]
Source = zoo.Source


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run needs to resume exactly."""

    iteration: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    """States of the random generators."""


def save_model(
    model: nn.Module,
    folder: PathLike,
    *,
    experiment: configuration.Experiment,
    class_names: list[str],
    palette: list[tuple[int, int, int]],
) -> Path:
    """Write `model.safetensors` and `config.json` into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with records.writing(folder / "model.safetensors") as temporary:
        _save_tensors(model.state_dict(), temporary)
    raw = {
        "format": 1,
        "class_names": class_names,
        "palette": palette,
        "experiment": configuration.to_dict(experiment),
    }
    records.write_bytes(json.dumps(raw, indent=1).encode() + b"\n", folder / "config.json")
    return folder


def load_model(
    where: PathLike | zoo.Entry, *, device: str | torch.device = "cpu", allow_modules: Iterable[str] = ()
) -> SegmentationModel:
    """Load a trained network in eval mode: the folder of a run, or a network of `segattn zoo`, such as "streets/ccnet".

    The result has `class_names`, `palette` and `experiment`; weights are float32. A folder of that name comes before the zoo.
    A network of the zoo has no auxiliary head on stage 3, and the data of its experiment are the generated scenes.

    Its files run no code: a module of your own is imported only if `allow_modules` names it or its package, as in
    `load_model("runs/tenth", allow_modules=("mylab",))`.

    Raises:
        ValueError: there is no such model, it names another module, a file is damaged, or the weights do not fit the
            configuration.
    """
    source = zoo.source(where)
    raw = read_config(source)
    try:
        experiment = configuration.from_dict(raw["experiment"], allow_modules=allow_modules)
    except ValueError as error:
        raise ValueError(f"{_facts_of(source)}: {error}") from None
    # The weights below replace pretrained ones, whose file may be gone.
    described = dataclasses.replace(experiment.network, pretrained=None, init_head="random")
    if isinstance(source, zoo.Entry):
        described = dataclasses.replace(described, auxiliary_weight=0.0)
    model = build_model(described, len(raw["class_names"]))
    path, state = _weights(source)
    expected = model.state_dict()
    shapes = [name for name in expected if name in state and expected[name].shape != state[name].shape]
    loaded = model.load_state_dict({name: state[name] for name in state if name not in shapes}, strict=False)
    differences = {
        "missing": sorted(set(loaded.missing_keys) - set(shapes)),
        "unexpected": sorted(loaded.unexpected_keys),
        "other shape": shapes,
    }
    if any(differences.values()):
        listing = "; ".join(f"{what} {', '.join(names[:5]) or 'none'}" for what, names in differences.items())
        raise ValueError(
            f"{path} does not fit the network that {_facts_of(source).name} beside it describes "
            f"({len(raw['class_names'])} classes): {listing}{' and more' if max(map(len, differences.values())) > 5 else ''}"
        )
    model.class_names, model.experiment = tuple(raw["class_names"]), experiment
    model.palette = tuple((red, green, blue) for red, green, blue in raw["palette"])
    return model.to(device).eval()


def find_models(where: PathLike | zoo.Entry) -> list[Source]:
    """Trained networks: `where` itself, or those in it: the finished runs of a study, the networks of a trunk of the zoo.

    Raises:
        ValueError: there is none; a folder of that name comes before the zoo.
    """
    if isinstance(where, zoo.Entry):
        return [where]
    return [*(zoo.networks(Path(where).as_posix()) if zoo.is_named(where) else find_runs(where))]


def find_runs(folder: PathLike) -> list[Path]:
    """Folders of trained models: `folder` itself, or the folders in it, such as the finished runs of a study.

    Raises:
        ValueError: there is no trained model in any of them.
    """
    folder = Path(folder)
    candidates = [folder, *(sorted(folder.iterdir()) if folder.is_dir() else ())]
    models = [
        path for path in candidates if (path / "config.json").is_file() and (path / "model.safetensors").is_file()
    ]
    if not models:
        what = "has no trained network" if folder.is_dir() else "is not a folder"
        advice = "give the folder of a finished run, or of a study such as runs/quick"
        raise ValueError(f"{folder} {what}; {advice}{zoo.offer(folder)}")
    return models[:1] if models[0] == folder else models


def read_config(where: PathLike | zoo.Entry) -> dict[str, Any]:
    """`class_names`, `palette` and `experiment` of a model: the `config.json` of its folder, or what the zoo knows of it.

    Raises:
        ValueError: no such file, or it was not written by segattn.
    """
    source = zoo.source(where)
    if isinstance(source, zoo.Entry):
        return {"class_names": source.class_names, "palette": source.palette, "experiment": source.scored}
    path = _facts_of(source)
    try:
        raw = records.read_json(path, what="readable as JSON")
    except (FileNotFoundError, NotADirectoryError):
        advice = f"give the folder of a finished run{zoo.offer(source)}"
        raise ValueError(f"{source}: no model here (no config.json); {advice}") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable as JSON ({error.strerror})") from None
    if not isinstance(raw, dict) or not {"class_names", "palette", "experiment"} <= raw.keys():
        raise ValueError(f"{path}: not the configuration of a segattn model")
    return raw


def _facts_of(source: Source) -> Path:
    """The file that describes a network."""
    return source.facts_file if isinstance(source, zoo.Entry) else source / "config.json"


def _weights(source: Source) -> tuple[Path, dict[str, Tensor]]:
    """The tensors of a network, and the file that holds them or those of its head."""
    if isinstance(source, zoo.Entry):
        trunk, path = read_tensors(source.trunk_file.verified()), source.head_file.verified()
        head = {name: value for name, value in read_tensors(path).items() if name.startswith("head.")}
        return path, {name: value for name, value in trunk.items() if name.startswith("backbone.")} | head
    return source / "model.safetensors", read_tensors(source / "model.safetensors")


def read_tensors(path: PathLike) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        ValueError: no such file, or not a complete safetensors file.
    """
    try:
        records.regular_size(path)
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error}); it may be truncated") from None


def save_snapshot(snapshot: Snapshot, run: PathLike, *, keep: int = 2) -> Path:
    """Write a checkpoint to resume from, then remove all but the newest `keep`.

    The folder appears under its name only when it is complete and synced, so a kill at any moment leaves the previous one intact.
    """
    parent = Path(run) / "checkpoints"
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / f"iteration-{snapshot.iteration:08d}"
    temporary = parent / f".writing-{snapshot.iteration:08d}"
    for leftover in parent.glob(".*-*"):  # of a killed process
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        temporary.mkdir()
        for name in ("model", "optimizer", "random"):
            _save_tensors(getattr(snapshot, name), temporary / f"{name}.safetensors")
        records.write_bytes(json.dumps({"iteration": snapshot.iteration}).encode(), temporary / "state.json")
        _sync(temporary)
        if final.exists():  # the same iteration again, after a resume
            _remove(final)
        os.rename(temporary, final)
        _sync(parent)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in _snapshots(parent)[:-keep]:
        _remove(old)
    return final


def _save_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Write and sync a safetensors file.

    Raises:
        OSError: the file cannot be written; safetensors' own error is converted.
    """
    try:
        save_file(_contiguous(state), path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    _sync(path)


def save_file(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file; safetensors' own function writes another file beside it, which a kill leaves."""
    path.write_bytes(tensor_bytes(tensors))


def _remove(folder: Path) -> None:
    """Remove a checkpoint; a kill never leaves part of it under its name."""
    removing = folder.with_name(f".removing-{folder.name}")
    shutil.rmtree(removing, ignore_errors=True)
    try:
        os.rename(folder, removing)
    except OSError:
        return
    shutil.rmtree(removing, ignore_errors=True)


def latest_iteration(run: PathLike) -> int | None:
    """The iteration of the newest checkpoint, None if there is none; no file is read."""
    snapshots = _snapshots(Path(run) / "checkpoints")
    return int(snapshots[-1].name.removeprefix("iteration-")) if snapshots else None


def latest_snapshot(run: PathLike) -> Snapshot | None:
    """The newest checkpoint of a run, None if it has none.

    Raises:
        ValueError: it is damaged.
    """
    snapshots = _snapshots(Path(run) / "checkpoints")
    if not snapshots:
        return None
    folder = snapshots[-1]
    try:
        iteration = json.loads((folder / "state.json").read_text())["iteration"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{folder}: damaged checkpoint ({error}); remove this folder to resume from an older one"
        ) from None
    parts = {name: read_tensors(folder / f"{name}.safetensors") for name in ("model", "optimizer", "random")}
    return Snapshot(iteration=iteration, **parts)


def remove_snapshots(run: PathLike) -> None:
    """Remove a finished run's checkpoints; the model stays."""
    parent = Path(run) / "checkpoints"
    for folder in _snapshots(parent):  # the newest last
        _remove(folder)
    shutil.rmtree(parent, ignore_errors=True)


def _snapshots(parent: Path) -> list[Path]:
    return sorted(parent.glob("iteration-*")) if parent.is_dir() else []


def _contiguous(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense tensors on the CPU that share no storage, as safetensors requires."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def _sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
