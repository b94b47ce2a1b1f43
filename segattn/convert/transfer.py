"""Starts a network from another one: everything that fits is loaded, and what was loaded, skipped or left at random is told."""

from __future__ import annotations

import dataclasses
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from segattn import config as configuration
from segattn.backbones import archive, fitting
from segattn.backbones.pretrained import Pretrained
from segattn.convert.source import Source
from segattn.model import SegmentationModel, build_model

_SHOWN = 4


@dataclass(frozen=True)
class Transfer:
    """What a network took of a source."""

    source: Source
    loaded: dict[str, tuple[int, int]]
    """By part, `backbone`, `head` or `auxiliary`: how many tensors were loaded, wholly or partly, and how many it has."""
    classes: fitting.Classes
    class_names: Sequence[str] | None
    """Of the network."""
    has_classifier: bool
    """Whether the source has one that the network has too."""
    skipped: list[str]
    """Tensors of the source that were not loaded, by module, and why."""
    fresh: list[str]
    """Modules of the network with tensors at random, without the classes."""
    notices: list[str]

    @property
    def taken(self) -> list[str]:
        """Names of the classes that are the source's."""
        names = self.class_names or [f"class {index}" for index in range(len(self.classes.rows))]
        return [
            name for name, row in zip(names, self.classes.rows, strict=True) if row is not None and self.has_classifier
        ]

    def sentence(self) -> str:
        """What was loaded, in one line."""
        parts = [part for part, (count, _) in self.loaded.items() if count]
        words = f"{', '.join(parts)} from {self.source.where}"
        if self.has_classifier:
            words += f"; classifier: {self.classes.words()}"
        return words + (f"; at random: {', '.join(self.fresh)}" if self.fresh else "")

    def lines(self) -> str:
        """What was loaded, skipped and left at random, for a terminal of 80 columns."""
        network, where = self.source.network, self.source.where
        what = f" ({network['head']}, {network['mode']}, on {network['backbone']})" if network else ""
        counts = ", ".join(f"{part} {count} of {total}" for part, (count, total) in self.loaded.items())
        rows = [("loaded", f"tensors of {counts}")]
        if self.has_classifier:
            rows.append(("classes", self._classes()))
        rows += [
            ("skipped", "; ".join(self.skipped) or "nothing"),
            ("at random", ", ".join(self.fresh) or "nothing else"),
        ]
        rows += [("note", notice) for notice in self.notices]
        wrap = partial(
            textwrap.fill, width=80, subsequent_indent=" " * 13, break_on_hyphens=False, break_long_words=False
        )
        return "\n".join([f"Start from {where}{what}", *(wrap(f"  {name:<11}{text}") for name, text in rows)])

    def _classes(self) -> str:
        words, own = self.classes.words(), self.class_names
        if self.classes.how != "name" or own is None:
            return words
        fresh = [name for name, row in zip(own, self.classes.rows, strict=True) if row is None]
        return f"{words}: {_some(fresh)}" if fresh else words


def load(
    model: SegmentationModel, source: Source, network: configuration.Model, class_names: Sequence[str] | None
) -> Transfer:
    """Load every tensor of `source` that fits the network which `network` describes; of the classifier, the classes by name.

    Raises:
        ValueError: another backbone or preparation of images, a backbone that does not fit, or a tensor that is no weight.
    """
    backbone = {
        name.removeprefix("backbone."): value for name, value in source.state.items() if name.startswith("backbone.")
    }
    weights = Pretrained(source.where, backbone, network=source.network)
    weights.check_backbone(network.backbone, None, network.backbone_options)
    weights.check_input(network.mean, network.std, network.channel_order)
    weights.load_backbone(model.backbone)
    rest = _above_backbone(source.state, network.head)
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("backbone.")}
    if fault := archive.fault_of(rest, own):
        raise ValueError(f"{source.where} does not fit: {fault}")
    bare = dataclasses.replace(network, pretrained=None, init_head="random")
    dims = fitting.class_dims(partial(build_model, bare), model.num_classes)
    sizes = [rest[name].shape[at[0]] for name, at in dims.items() if name in rest and rest[name].ndim > at[0]]
    classes = fitting.match(source.class_names, class_names, sizes[0] if sizes else 0, model.num_classes)
    fit = fitting.fit(rest, own, dims, classes)
    model.load_state_dict(fit.loaded, strict=False)
    return Transfer(
        source,
        _counted(model, fit),
        classes,
        class_names,
        bool(fit.partly or fit.classifier or dims.keys() & fit.loaded.keys()),
        _skipped(rest, own, fit),
        _modules([*fit.missing, *fit.other_shape]),
        [*source.notices, *_differing(source, network)],
    )


def _above_backbone(state: Mapping[str, Tensor], head: str) -> dict[str, Tensor]:
    """Head and auxiliary head; of several heads side by side, that of this name."""
    rest = {name: value for name, value in state.items() if not name.startswith("backbone.")}
    member = f"head.members.{head}."
    if not any(name.startswith(member) for name in rest):
        return rest
    own = {f"head.{name.removeprefix(member)}": value for name, value in rest.items() if name.startswith(member)}
    return own | {name: value for name, value in rest.items() if not name.startswith("head.")}


def _counted(model: SegmentationModel, fit: fitting.Fit) -> dict[str, tuple[int, int]]:
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    totals = Counter(name.partition(".")[0] for name in names)
    counts = Counter(name.partition(".")[0] for name in names if name in fit.loaded)
    return {part: (total if part == "backbone" else counts[part], total) for part, total in totals.items()}


def _skipped(rest: Mapping[str, Tensor], own: Mapping[str, Tensor], fit: fitting.Fit) -> list[str]:
    reasons = []
    if names := fit.other_shape:
        first, more = names[0], f" and {len(names) - 1} more" if len(names) > 1 else ""
        reasons.append(f"of another shape {first} ({_shape(rest[first])} there, {_shape(own[first])} here){more}")
    if unused := _modules(fit.unused):
        reasons.append(f"not in this network {_some(unused)}")
    if fit.classifier:
        reasons.append(f"other classes {_some(_modules(fit.classifier))}")
    return reasons


def _differing(source: Source, network: configuration.Model) -> list[str]:
    """Settings that the weights do not depend on, where they are others than those that these were trained with."""
    both = ((name, getattr(network, name)) for name in ("output_stride", "align_corners"))
    described = source.network or {}
    return [
        f"{name} is {described[name]} there and {own} here" for name, own in both if described.get(name, own) != own
    ]


def _modules(names: Iterable[str]) -> list[str]:
    """The modules that hold these tensors, such as `head.attention` and `auxiliary.classify`."""
    plain = [name for name in names if not name.endswith("num_batches_tracked")]
    return list(dict.fromkeys(".".join(name.split(".")[:2]) for name in plain))


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
