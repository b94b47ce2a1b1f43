"""Trained networks as files: safetensors and JSON, written completely or not at all, loaded without running any code.

A model is a folder with `model.safetensors` and `config.json`, which has its size and SHA-256. For runs: `training.snapshots`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
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
from segattn.records import image_range, integrity

PathLike = str | os.PathLike[str]
Source = zoo.Source
FORMAT = 2  # of config.json; in format 1, of version 0.1.0, it has no digest of the weights


def save_model(
    model: nn.Module,
    folder: PathLike,
    *,
    experiment: configuration.Experiment,
    class_names: list[str],
    palette: list[tuple[int, int, int]],
    data: Mapping[str, Any] | None = None,
    images: image_range.ImageRange | None = None,
) -> Path:
    """Write `model.safetensors` and `config.json` into `folder`.

    `data` is the fingerprint of the data that the network was trained on, `images` the range of its training images.

    Raises:
        ValueError: a weight or statistic is not finite, or two classes have one name.
    """
    folder, state = Path(folder), model.state_dict()
    if diverged := not_finite(state):
        raise ValueError(f"{folder}: the network is not written, because {some(diverged)} is not finite")
    _check_classes(class_names, str(folder))
    with records.writing(folder / "model.safetensors") as temporary:
        written = write_tensors(state, temporary)
    raw = {
        "format": FORMAT,
        "class_names": class_names,
        "palette": palette,
        "experiment": configuration.to_dict(experiment),
        "weights": written,
        **({} if data is None else {"data": data}),
        **({} if images is None else {"images": images.to_dict()}),
    }
    records.write_bytes(json.dumps(raw, indent=1).encode() + b"\n", folder / "config.json")
    return folder


def load_model(
    where: PathLike | zoo.Entry, *, device: str | torch.device = "cpu", allow_modules: Iterable[str] = ()
) -> SegmentationModel:
    """Load a trained network in eval mode: the folder of a run, or a network of `segattn zoo`, such as "streets/ccnet".

    The result has `class_names`, `palette`, `experiment` and `image_range` (None in the zoo); weights are float32. A folder of
    that name comes before the zoo. A network of the zoo has no auxiliary head on stage 3; its data are the generated scenes.

    Its files run no code: a module of your own is imported only if `allow_modules` names it or its package, such as "mylab".

    Raises:
        ValueError: there is no such model, it names another module, a file is damaged or changed, the weights do not fit the
            configuration, or one of them is not finite.
    """
    source = zoo.source(where)
    raw = read_config(source)
    try:
        experiment = configuration.from_dict(raw["experiment"], allow_modules=allow_modules)
    except ValueError as error:
        raise ValueError(f"{_facts_of(source)}: {error}") from None
    _check_classes(raw["class_names"], str(_facts_of(source)))
    described = dataclasses.replace(experiment.network, pretrained=None, init_head="random")  # that file may be gone
    if isinstance(source, zoo.Entry):
        described = dataclasses.replace(described, auxiliary_weight=0.0)
    path, state = weights_of(source, raw)
    model = _built(described, len(raw["class_names"]), state, _facts_of(source))
    expected = model.state_dict()
    shapes = [name for name in expected if name in state and expected[name].shape != state[name].shape]
    kinds = [n for n in expected if n in state and expected[n].is_floating_point() != state[n].is_floating_point()]
    loaded = model.load_state_dict({name: state[name] for name in state if name not in shapes}, strict=False)
    differences = {
        "missing": sorted(set(loaded.missing_keys) - set(shapes)),
        "unexpected": sorted(loaded.unexpected_keys),
        "other shape": shapes,
        "other type": kinds,
    }
    if any(differences.values()):
        listing = "; ".join(f"{what} {', '.join(names[:5]) or 'none'}" for what, names in differences.items())
        raise ValueError(
            f"{path} does not fit the network that {_facts_of(source).name} beside it describes "
            f"({len(raw['class_names'])} classes): {listing}{' and more' if max(map(len, differences.values())) > 5 else ''}"
        )
    if diverged := not_finite(state):
        raise ValueError(f"{path}: {some(diverged)} is not finite; the file is damaged, or its training diverged")
    model.class_names, model.experiment = tuple(raw["class_names"]), experiment
    model.image_range = image_range.read_range(raw.get("images"), _facts_of(source))
    model.palette = _palette(raw["palette"], len(model.class_names), _facts_of(source))
    return model.to(device).eval()


_LARGEST_OPTION = 2**16  # of a head or backbone in a file: some options are numbers of modules


def _built(
    network: configuration.Model, num_classes: int, state: Mapping[str, Tensor], facts: Path
) -> SegmentationModel:
    """The network that a file describes, after its outline on the meta device was found to be no larger than its weights.

    Raises:
        ValueError: it cannot be built, or is far larger than its weights.
    """
    for options in (network.head_options, network.backbone_options):
        for name, value in options.items():
            if isinstance(value, int) and abs(value) > _LARGEST_OPTION:
                raise ValueError(f"{facts}: option {name} is {value}; at most {_LARGEST_OPTION} is read from a file")
    try:
        numbers, stored = _size_of(network, num_classes), sum(value.numel() for value in state.values())
        if numbers > 2 * stored + 10**8:
            raise ValueError(f"describes a network of {numbers:,} numbers, but its weights are {stored:,}")
        return build_model(network, num_classes)
    except ValueError as error:
        raise ValueError(f"{facts}: {error}") from None
    except Exception as error:  # of a head or backbone with options of any type and size
        raise ValueError(f"{facts}: its network cannot be built ({integrity.one_line(error)})") from None


def _size_of(network: configuration.Model, num_classes: int) -> int:
    """Numbers in a network's weights and statistics; no memory is taken. 0 for a head of one's own that needs real tensors."""
    try:
        with torch.device("meta"):
            return sum(value.numel() for value in build_model(network, num_classes).state_dict().values())
    except (RuntimeError, NotImplementedError):
        if "." not in network.head:
            raise
        return 0


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
    folder, files = Path(folder), ("config.json", "model.safetensors")
    candidates = [folder, *sorted(folder.glob("[!.]*"))]
    models = [path for path in candidates if all((path / file).is_file() for file in files)]
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


def _check_classes(names: Any, where: str) -> None:
    listed = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not listed or not 1 <= len(names) <= 255:
        raise ValueError(f"{where}: class_names should be a list of 1 to 255 names")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{where}: class name {twice[0]!r} is given twice; classes need distinct names")


def _palette(colours: Any, count: int, facts: Path) -> tuple[tuple[int, int, int], ...]:
    try:
        palette = tuple((red, green, blue) for red, green, blue in colours)
    except (TypeError, ValueError):
        palette = ()
    if len(palette) != count or not all(type(value) is int and 0 <= value <= 255 for each in palette for value in each):
        raise ValueError(f"{facts}: palette should have a colour [red, green, blue] from 0 to 255 for each class")
    return palette


def weights_of(source: Source, raw: Mapping[str, Any]) -> tuple[Path, dict[str, Tensor]]:
    """The tensors of a network, and the file with them or its head; `raw` is its config.json. Errors as in `load_model`."""
    if isinstance(source, zoo.Entry):
        trunk, path = read_tensors(source.trunk_file.verified()), source.head_file.verified()
        head = {name: value for name, value in read_tensors(path).items() if name.startswith("head.")}
        return path, {name: value for name, value in trunk.items() if name.startswith("backbone.")} | head
    state = read_tensors(path := source / "model.safetensors")
    if (written_as := raw.get("format")) not in (1, FORMAT):
        raise ValueError(f"{_facts_of(source)}: format {written_as!r:.40}; this version reads 1 and {FORMAT}")
    if written_as == FORMAT or "weights" in raw:
        integrity.verify(path, raw.get("weights"), "config.json")
    return path, state


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
    except Exception as error:  # on a damaged header safetensors raises several types, Python's own among them
        fault = f"not a readable safetensors file ({integrity.one_line(error)})"
        raise ValueError(f"{path}: {fault}; it may be truncated") from None


def write_tensors(state: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """Write and sync a safetensors file; returns its `size_bytes` and `sha256`, as `records.integrity` takes them.

    Raises:
        OSError: the file cannot be written; safetensors' own error is converted.
    """
    try:
        save_file(_contiguous(state), path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    integrity.sync(path)
    return integrity.digest(path)


def save_file(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file; safetensors' own function writes another file beside it, which a kill leaves."""
    path.write_bytes(tensor_bytes(tensors))


@torch.no_grad()
def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold nan or infinity: one fused pass, and a second one only if there are any."""
    floating = {name: value.detach() for name, value in state.items() if value.is_floating_point() and value.numel()}
    if not floating:
        return []
    # The largest magnitude of each tensor is finite exactly if all its values are.
    largest = torch._foreach_norm(list(floating.values()), torch.inf)
    if bool(torch.stack([norm.isfinite() for norm in largest]).all()):
        return []
    return [name for name, value in floating.items() if not bool(value.isfinite().all())]


def some(names: list[str]) -> str:
    """The first of the names, and how many more there are.

    >>> some(["a.weight"]), some(["a.weight", "a.bias"])
    ('a.weight', 'a.weight (and 1 more)')
    """
    return names[0] + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


def _contiguous(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense tensors on the CPU that share no storage, as safetensors requires."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
