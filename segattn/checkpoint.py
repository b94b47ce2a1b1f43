"""Trained networks as files: safetensors and JSON, written completely or not at all, loaded without running any code.

A model is a folder with `model.safetensors` and `config.json`, which has its size and SHA-256. For runs: `training.snapshots`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from segattn import config as configuration
from segattn import records, zoo
from segattn.model import SegmentationModel, build_model
from segattn.records import image_range, integrity
from segattn.zoo import classes, hub, hub_card
from segattn.zoo.runs import find_runs, runs_inside
from segattn.zoo.tensors import contiguous, load_state, not_finite, num_parameters, read_tensors, same, save_file, some

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
    described = {"class_names": class_names, "palette": palette, "experiment": configuration.to_dict(experiment)}
    ranges = None if images is None else images.to_dict()
    return _write(Path(folder), model.state_dict(), {**described, "data": data, "images": ranges})


def _write(folder: Path, state: Mapping[str, Tensor], described: Mapping[str, Any]) -> Path:
    if diverged := not_finite(state):
        raise ValueError(f"{folder}: the network is not written, because {some(diverged)} is not finite")
    classes.check_names(described["class_names"], str(folder))
    with records.writing(folder / "model.safetensors") as temporary:
        written = write_tensors(state, temporary)
    raw = {
        "format": FORMAT,
        **{name: described[name] for name in ("class_names", "palette", "experiment")},
        "weights": written,
        **{name: described[name] for name in ("data", "images") if described.get(name) is not None},
    }
    records.write_bytes(json.dumps(raw, indent=1).encode() + b"\n", folder / "config.json")
    return folder


def save_pretrained(
    network: nn.Module | PathLike | zoo.Entry,
    folder: PathLike,
    *,
    record: PathLike | None = None,
    licence: str | None = None,
    where: str | None = None,
) -> Path:
    """Write a network into `folder` as it is shared: weights, `config.json` and a model card, `README.md`. `load_model` reads it.

    The card has the scores of the run or network of the zoo that `network` names; of a network in memory, those of the run whose
    folder `record` names. Of paths that begin at this machine's root only the last part is written. `licence` is that of the
    weights, as the hub names licences, such as cc-by-nc-4.0; `where` is what the card tells others to load.

    Raises:
        ValueError: as `load_model`; not a network of segattn; `record` has other weights; the folder is a file or holds a run.
    """
    folder, source = hub.free(Path(folder)), None
    if isinstance(network, nn.Module):
        described, state = _described(network), network.state_dict()
    else:
        source = zoo.source(network)
        described = read_config(source)
        state = weights_of(source, described)[1]
    complete = configuration.from_dict(described["experiment"], allow_modules=None)
    experiment = hub.without_places(configuration.to_dict(complete))
    if not any(name.startswith("auxiliary.") for name in state):
        experiment["model"]["auxiliary_weight"] = 0.0
    facts = {"where": where or str(folder), "experiment": experiment, "class_names": described["class_names"]}
    facts |= {"licence": licence, "parameters": num_parameters(state), **_recorded(source, record, state)}
    page = hub_card.page(hub_card.Shared(**facts)).encode()
    _write(folder, state, {**described, "experiment": experiment, "data": None})
    records.write_bytes(page, folder / "README.md")
    return folder


def push_to_hub(
    network: nn.Module | PathLike | zoo.Entry,
    where: str,
    *,
    record: PathLike | None = None,
    licence: str | None = None,
    private: bool | None = None,
) -> str:
    """Upload a network to the Hugging Face Hub as `hf://user/name`, with what `save_pretrained` writes; returns its address.

    Raises:
        ValueError: as `save_pretrained` and `hub.upload`; nothing is left on this machine.
    """
    named = str(hub.repository(where))
    with tempfile.TemporaryDirectory() as folder:
        written = save_pretrained(network, folder, record=record, licence=licence, where=named)
        return hub.upload(written, named, private=private)


def _described(model: nn.Module) -> dict[str, Any]:
    """What `config.json` says of a network in memory."""
    if not isinstance(model, SegmentationModel):
        raise ValueError(
            f"{type(model).__name__} is no network of segattn; give one of load_model or create_model, or its name"
        )
    own: dict[str, Any] = {"name": "own", "model": model.described, "data": configuration.Data(name="folder")}
    experiment = model.experiment or (model.described and configuration.Experiment(**own))
    if experiment is None:
        raise ValueError("the network was put together by hand; set model.experiment, which says how it is built")
    names = model.class_names or tuple(f"class {index}" for index in range(model.num_classes))
    described = {"class_names": names, "palette": model.palette or classes.colours(len(names))}
    ranges = None if model.image_range is None else model.image_range.to_dict()
    return {**described, "experiment": configuration.to_dict(experiment), "images": ranges}


def _recorded(source: Source | None, record: PathLike | None, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a card says of scores: those of `source`, or of the run `record`, whose weights must be `state`."""
    run = source if record is None else Path(record)
    if not isinstance(run, Path):
        return {"entry": run}
    if record is not None and not same(state, weights_of(run, read_config(run))[1]):
        raise ValueError(f"{run} holds other weights than the network; its scores are not those of the network")
    if record is None and not (run / "record.json").is_file():
        return {}
    arrays = records.read_arrays(run / "per_image.npz") if (run / "per_image.npz").is_file() else {}
    between = hub_card.interval(arrays["confusion"]) if "confusion" in arrays else None
    return {"record": records.read(run / "record.json"), "interval": between}


def load_model(
    where: PathLike | zoo.Entry, *, device: str | torch.device = "cpu", allow_modules: Iterable[str] = ()
) -> SegmentationModel:
    """Load a trained network in eval mode: the folder of a run, a network of `segattn zoo`, such as "streets/ccnet", or of the
    Hugging Face Hub, `hf://user/name` or `hf://user/name@revision`.

    The result has `class_names`, `palette`, `experiment` and `image_range` (None in the zoo); weights are float32. A folder of
    that name comes before all others. A network of the zoo has no auxiliary head on stage 3; its data are the generated scenes.

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
    classes.check_names(raw["class_names"], str(_facts_of(source)))
    described = dataclasses.replace(experiment.network, pretrained=None, init_head="random")  # that file may be gone
    if isinstance(source, zoo.Entry):
        described = dataclasses.replace(described, auxiliary_weight=0.0)
    path, state = weights_of(source, raw)
    model = _built(described, len(raw["class_names"]), state, _facts_of(source))
    if differences := load_state(model, state):
        raise ValueError(
            f"{path} does not fit the network that {_facts_of(source).name} beside it describes "
            f"({len(raw['class_names'])} classes): {differences}"
        )
    if diverged := not_finite(state):
        raise ValueError(f"{path}: {some(diverged)} is not finite; the file is damaged, or its training diverged")
    model.class_names, model.experiment = tuple(raw["class_names"]), experiment
    model.image_range = image_range.read_range(raw.get("images"), _facts_of(source))
    model.palette = classes.palette_of(raw["palette"], len(model.class_names), _facts_of(source))
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
    if hub.is_on_hub(where):
        return [hub.download(where)]
    return [*(zoo.networks(Path(where).as_posix()) if zoo.is_named(where) else find_runs(where))]


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
        advice = f"give the folder of a finished run{runs_inside(source) or zoo.offer(source)}"
        raise ValueError(f"{source}: no model here (no config.json); {advice}") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable as JSON ({error.strerror})") from None
    if not isinstance(raw, dict) or not {"class_names", "palette", "experiment"} <= raw.keys():
        raise ValueError(f"{path}: not the configuration of a segattn model")
    return raw


def _facts_of(source: Source) -> Path:
    """The file that describes a network."""
    return source.facts_file if isinstance(source, zoo.Entry) else source / "config.json"


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


def write_tensors(state: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """Write and sync a safetensors file; returns its `size_bytes` and `sha256`, as `records.integrity` takes them.

    Raises:
        OSError: the file cannot be written; safetensors' own error is converted.
    """
    try:
        save_file(contiguous(state), path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    integrity.sync(path)
    return integrity.digest(path)
