"""Pretrained weights: from a run of ours, a file, a URL, or the name of a backbone that torchvision or mmsegmentation publishes.

Tensors only are read from files, no code is run.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segattn import zoo
from segattn.backbones import archive, fitting, resnet, timm_weights
from segattn.backbones.first_layer import FirstLayer, fitted
from segattn.backbones.published import local_file
from segattn.catalogue import first_line, read_json
from segattn.records import integrity

WHOLE_HEAD = "the whole head from there"
"""What `Pretrained.load_head` returns where nothing of the head starts at random."""


@dataclass(frozen=True)
class Pretrained:
    """Weights to start from."""

    where: str
    """Run, trunk, file, URL or published name, as messages call it."""
    backbone: Mapping[str, Tensor]
    head: Mapping[str, Tensor] = field(default_factory=dict)
    """Of a network of segattn; empty where the file holds a backbone only."""
    network: Mapping[str, Any] | None = None
    """The `model` section of the experiment that trained it, if it is a network of segattn."""
    class_names: Sequence[str] | None = None
    """Of a network of segattn."""
    declared_input: Mapping[str, Any] = field(default_factory=dict)
    """How images enter it (mean, std, channel_order), where that is known of a network that is not of segattn."""

    def load_backbone(self, backbone: nn.Module, first_layer: FirstLayer = "mean") -> str:
        """Load all weights of the backbone; those of timm are adapted to it.

        Returns:
            how its first layer was converted, if it takes other bands, and what stays at random, in words.

        Raises:
            ValueError: names or shapes that do not fit (all kinds of differences are named).
        """
        own = backbone.state_dict()
        of_timm = hasattr(backbone, "whole")
        weights = timm_weights.fitted(backbone, self.backbone, self.where) if of_timm else self.backbone
        weights, converted = fitted(weights, own, first_layer)
        missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
        unexpected = [key for key in weights if key not in own]
        shapes = [key for key, value in weights.items() if key in own and value.shape != own[key].shape]
        if missing or unexpected or shapes:
            raise ValueError(
                f"pretrained backbone {self.where} does not fit: missing {_some(missing)}; unexpected {_some(unexpected)}; "
                f"other shape {_some(shapes)}. {timm_weights.advice(backbone)}"
            )
        if fault := archive.fault_of(weights, own):
            raise ValueError(f"pretrained backbone {self.where} does not fit: {fault}")
        backbone.load_state_dict(dict(weights), strict=False)
        return converted + (timm_weights.note_random_part(backbone, self.backbone) if of_timm else "")

    def load_head(
        self,
        head: nn.Module,
        build: Callable[[int], nn.Module],
        num_classes: int,
        class_names: Sequence[str] | None = None,
    ) -> str:
        """Load what the head has in common with the pretrained one, by name and shape; returns what, in words.

        Of a classifier, the rows of classes with equal names are loaded.

        Args:
            build: makes such a head for a number of classes.
            class_names: of the head; None if its classes have no names.

        Raises:
            ValueError: only a backbone is known.
        """
        if not self.head:
            raise ValueError(
                f"model.init_head=trunk: {self.where} holds a backbone only; give model.pretrained a run or a trunk of "
                "segattn zoo, or leave init_head out"
            )
        if isinstance(members := getattr(head, "members", None), nn.ModuleDict):
            # several heads: each from its own, or all from the same
            loaded = []
            for name, member in members.items():
                own = replace(self, head=_below(self.head, f"members.{name}.") or self.head)

                def member_of(count: int, name: str = name) -> nn.Module:
                    return build(count).members[name]  # type: ignore[index, return-value]

                loaded.append(own.load_head(member, member_of, num_classes, class_names))
            return "; ".join(dict.fromkeys(loaded))
        classes = fitting.match(self.class_names, class_names, num_classes, num_classes)
        fit = fitting.fit(self.head, head.state_dict(), fitting.class_dims(build, num_classes), classes)
        head.load_state_dict(fit.loaded, strict=False)
        fresh, whole = [*fit.missing, *fit.other_shape], [key for key in fit.loaded if key not in fit.partly]
        rest = f"head: {_parts(whole)} from there, {_parts(fresh)} at random" if fresh else WHOLE_HEAD
        return f"classifier: {classes.words()}; {rest}" if fit.partly or fit.classifier else rest

    def check_backbone(self, name: str, output_stride: int | None, options: Mapping[str, Any]) -> None:
        """Raise ValueError where the pretrained network's backbone is described and is another one: the setting is named.

        `output_stride` is None where any will do, as convolutions have the same weights strided and dilated.
        """
        if self.network is None:
            return
        described: dict[str, Any] = {"backbone": self.network["backbone"]}
        wanted: dict[str, Any] = {"backbone": name}
        if output_stride is not None:
            described["output_stride"], wanted["output_stride"] = self.network["output_stride"], output_stride
        described |= {
            f"backbone_options.{key}": value for key, value in _chosen(self.network["backbone_options"]).items()
        }
        wanted |= {f"backbone_options.{key}": value for key, value in _chosen(options).items()}
        differing = [key for key in {**described, **wanted} if described.get(key) != wanted.get(key)]
        if differing:
            listing = "; ".join(
                f"{key} is {_said(described, key)} there and {_said(wanted, key)} here" for key in differing
            )
            raise ValueError(f"pretrained network {self.where} has another backbone: {listing}; make them equal")

    def check_input(
        self, mean: Sequence[float], std: Sequence[float], channel_order: str, in_channels: int = 3
    ) -> None:
        """Raise ValueError where the pretrained network's input is described, of as many bands, and prepared in another way."""
        if (self.network or {}).get("in_channels", 3) != in_channels:
            return
        wanted = {"mean": list(mean), "std": list(std), "channel_order": channel_order}
        for name, value in wanted.items():
            declared = (self.network or self.declared_input).get(name, value)  # older networks do not have it
            declared = list(declared) if isinstance(declared, tuple) else declared
            if declared != value:
                raise ValueError(
                    f"pretrained network {self.where} takes images with {name} {declared}, this one with {value}; set "
                    f"model.{name} to that of the pretrained network"
                )


def read(where: str | os.PathLike[str], *, head: str = "", mode: str = "", seed: int = 0) -> Pretrained:
    """Weights of a run or study of ours, of a trunk of the zoo, a network of the hub, a file, a URL, timm:NAME, or a name of
    `PUBLISHED`; runs no code.

    Of a study's folder, the run of this head, mode and seed is read.

    Raises:
        ValueError: no such run, name or file; a study without that run (its runs are listed); no state dict.
    """
    where = os.fspath(where)
    classes: Sequence[str] | None = None
    if zoo.is_named(where):
        entry = zoo.networks(where)[0]
        path, network = str(zoo.trunk(entry.trunk)), {"backbone_options": {}, **entry.experiment["model"]}
        where, classes = f"{entry.trunk} of segattn zoo", entry.class_names
    elif os.path.isdir(where) or zoo.hub.is_on_hub(where):
        folder = zoo.hub.download(where) if zoo.hub.is_on_hub(where) else run_of(Path(where), head, mode, seed)
        path, network = str(folder / "model.safetensors"), _network_of(folder)
        classes = _verified(folder).get("class_names")
        where = where if zoo.hub.is_on_hub(where) else str(folder)
    elif where.startswith(timm_weights.PREFIX):
        published, declared = timm_weights.downloaded(where.removeprefix(timm_weights.PREFIX))
        return Pretrained(where, published, declared_input=declared)
    else:
        path, network = local_file(where), None
    state = _tensors(path)
    if not any(key.startswith("backbone.") for key in state):
        return Pretrained(where, {key: value for key, value in state.items() if not key.startswith("fc.")})
    top = _below(state, "head.") if network else {}
    member = f"members.{head}." if any(key.startswith(f"members.{head}.") for key in top) else ""
    return Pretrained(where, _below(state, "backbone."), _below(top, member), network, classes)


def load_backbone_weights(backbone: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a backbone's weights in torchvision's or mmsegmentation's naming, without running any code.

    `path` is what `read` takes.

    Raises:
        ValueError: as `read` and `Pretrained.load_backbone`.
    """
    read(path).load_backbone(backbone)


def run_of(folder: Path, head: str, mode: str, seed: int) -> Path:
    """The folder itself if it is a run's, else the run of the study in it.

    Raises:
        ValueError: it has no trained network, or none of this head, mode and seed (its most similar runs are named).
    """
    if (folder / "model.safetensors").is_file():
        return folder
    runs = sorted(path.parent for path in folder.glob("[!.]*/model.safetensors"))
    if not runs:
        raise ValueError(f"pretrained network {folder}: it has no trained network; give the folder of a finished run")
    unlike = {}
    for run in runs:
        experiment = _experiment_of(run)
        own = (experiment["model"]["head"], experiment["model"]["mode"], experiment["seed"])
        if own == (head, mode, seed):
            return run
        unlike[run.name] = (own[0] != head, own[1] != mode)
    names = _some(sorted(unlike, key=lambda name: unlike[name]))
    wanted = f"{head}, {mode}, seed {seed}" if head else "the wanted head"
    raise ValueError(f"pretrained network {folder}: it has no run of {wanted}; give one of its runs: {names}")


def _experiment_of(run: Path) -> dict[str, Any]:
    path = run / "config.json"
    try:
        experiment: dict[str, Any] = read_json(path)["experiment"]
        model = experiment["model"]
        experiment["seed"], model["head"], model["mode"], model["backbone"], model["output_stride"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"pretrained network {run}: {path.name} is missing or damaged ({error!r})") from None
    return experiment


def _network_of(run: Path) -> dict[str, Any]:
    model: dict[str, Any] = _experiment_of(run)["model"]
    return {"backbone_options": {}, **model}


def _verified(run: Path) -> dict[str, Any]:
    """The run's config.json, whose SHA-256 of the weights must be theirs; version 0.1.0, of format 1, wrote none."""
    raw: dict[str, Any] = read_json(run / "config.json")
    if (written := raw.get("weights")) is None and raw.get("format") == 1:
        return raw
    with suppress(ValueError):
        integrity.verify(run / "model.safetensors", written, "config.json")
        return raw
    raise ValueError(f"pretrained network {run}: model.safetensors is not the file whose SHA-256 config.json has")


def _tensors(path: str) -> dict[str, Tensor]:
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = archive.read(path)
    except Exception as error:
        raise ValueError(f"pretrained backbone {path}: cannot be read as tensors only ({first_line(error)})") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state.get("model", state))  # type: ignore[assignment]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"pretrained backbone {path}: it holds no state dict (names and tensors)")
    if fault := archive.fault_of(state):
        raise ValueError(f"pretrained backbone {path}: {fault}")
    return state


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _parts(keys: Iterable[str]) -> str:
    """The modules that hold these tensors, in words: `sandwich`, `attention and classify`."""
    modules = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    return " and ".join([", ".join(modules[:-1]), modules[-1]] if len(modules) > 1 else modules) or "nothing"


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not what a built-in backbone takes by itself."""
    parameters = inspect.signature(resnet.ResNet).parameters
    return {key: value for key, value in options.items() if key not in parameters or parameters[key].default != value}


def _said(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "the default"


def _some(keys: list[str], limit: int = 5) -> str:
    """A few keys and how many more there are."""
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return (", ".join(keys[:limit]) + more) or "none"
