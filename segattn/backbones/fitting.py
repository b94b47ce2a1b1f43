"""What fits of one network's tensors into another network: by name and shape, and the classifier's rows by the classes' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Dims = Mapping[str, tuple[int, ...]]
"""Of each tensor that depends on the number of classes: the dims whose length does."""


@dataclass(frozen=True)
class Classes:
    """Which class of a source each class of a network is."""

    num_source: int
    rows: tuple[int | None, ...]
    """For each class of the network its index in the source; None for a class that starts at random."""
    how: str
    """`same` lists, by `name`, by `number` (a list without names), or no class: `unnamed` and of another number, `none` equal."""

    @property
    def num_taken(self) -> int:
        """Classes that are taken from the source."""
        return sum(row is not None for row in self.rows)

    def words(self) -> str:
        """How many classes are taken, and how; the sentence goes on after `classifier: `.

        >>> match(["road", "sky"], ["sky", "car"]).words()
        '1 of 2 classes by name, 1 at random'
        """
        total, fresh = len(self.rows), len(self.rows) - self.num_taken
        if self.how == "same":
            return f"all {total} classes"
        if self.how == "number":
            return f"all {total} classes by number, because not all of them have names"
        if self.how in ("unnamed", "none"):
            why = "not all of them named" if self.how == "unnamed" else "none with an equal name"
            return f"at random ({self.num_source} classes there and {total} here, {why})"
        return f"{self.num_taken} of {total} classes by name, {fresh} at random"


def match(
    source: Sequence[str] | None, own: Sequence[str] | None, num_source: int | None = None, num_own: int | None = None
) -> Classes:
    """Match the classes of a source with a network's: by name where both lists have names, by number where one has none.

    Names are compared without regard to case and to spaces around and between words, unless two names of a list would be one.

    Args:
        num_source, num_own: their numbers, where a list is not known.

    >>> match(["road", "Sky "], ["sky", "car", "road"]).rows
    (1, None, 0)
    >>> match(None, ["a", "b"], num_source=2).how, match(None, ["a", "b"], num_source=3).how
    ('number', 'unnamed')
    """
    num_source = len(source) if source is not None else num_source or 0
    num_own = len(own) if own is not None else num_own or 0
    in_order = tuple(range(num_own))
    if source is not None and own is not None and list(source) == list(own):
        return Classes(num_source, in_order, "same")
    if source is None or own is None or not (_named(source) and _named(own)):
        equal = num_source == num_own
        return Classes(num_source, in_order if equal else (None,) * num_own, "number" if equal else "unnamed")
    plain = [[" ".join(name.split()).casefold() for name in names] for names in (source, own)]
    if any(len(set(names)) < len(names) for names in plain):
        plain = [list(source), list(own)]
    index = {name: number for number, name in enumerate(plain[0])}
    rows = tuple(index.get(name) for name in plain[1])
    return Classes(num_source, rows, "name" if any(row is not None for row in rows) else "none")


def _named(classes: Sequence[str]) -> bool:
    return any(name != f"class {index}" for index, name in enumerate(classes))


def class_dims(build: Callable[[int], nn.Module], num_classes: int) -> Dims:
    """The tensors of a module that depend on the number of classes, which `build` takes; the random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        shapes, wider = (_shapes(build, number) for number in (num_classes, num_classes + 1))
    differing = {
        name: tuple(dim for dim, length in enumerate(shape) if length != wider[name][dim])
        for name, shape in shapes.items()
        if name in wider and len(shape) == len(wider[name])
    }
    return {name: dims for name, dims in differing.items() if dims}


def _shapes(build: Callable[[int], nn.Module], num_classes: int) -> dict[str, torch.Size]:
    try:
        with torch.device("meta"):
            module = build(num_classes)
    except (RuntimeError, NotImplementedError):  # a head of one's own that needs real tensors
        module = build(num_classes)
    return {name: value.shape for name, value in module.state_dict().items()}


@dataclass(frozen=True)
class Fit:
    """What a module takes of a source's tensors, by name."""

    loaded: dict[str, Tensor]
    """The module's new tensors; of those in `partly`, the rows of classes that the source does not have are its own."""
    partly: list[str] = field(default_factory=list)
    """Of a classifier, some rows of which are the source's."""
    classifier: list[str] = field(default_factory=list)
    """Of a classifier, and left as they are: the source has none of the classes."""
    other_shape: list[str] = field(default_factory=list)
    """In both, with different shapes, and left as they are."""
    missing: list[str] = field(default_factory=list)
    """Of the module only; without the counters of batches."""
    unused: list[str] = field(default_factory=list)
    """Of the source only."""

    @property
    def fresh(self) -> list[str]:
        """Tensors that stay as they are, at random in a new network."""
        return [*self.missing, *self.other_shape, *self.classifier]


def fit(source: Mapping[str, Tensor], own: Mapping[str, Tensor], dims: Dims, classes: Classes) -> Fit:
    """What `own`, a module's tensors, takes of `source`: tensors of equal name and shape, and rows of equal classes.

    `dims` are those of `class_dims` for the module.
    """
    result = Fit({}, unused=[name for name in source if name not in own])
    for name, value in own.items():
        if name not in source:
            result.missing.extend([] if name.endswith("num_batches_tracked") else [name])
        elif name in dims and classes.how not in ("same", "number"):
            rows = _rows(source[name], value, dims[name], classes)
            if rows is not None:
                result.loaded[name] = rows
            names = (
                result.classifier if not classes.num_taken else result.other_shape if rows is None else result.partly
            )
            names.append(name)
        elif source[name].shape != value.shape:
            result.other_shape.append(name)
        else:
            result.loaded[name] = source[name]
    for misfit in [name for name in result.other_shape if name in dims]:  # no bias without its weight
        for name in [name for name in result.partly if name.rpartition(".")[0] == misfit.rpartition(".")[0]]:
            result.partly.remove(name)
            result.other_shape.append(name)
            del result.loaded[name]
    return result


def _rows(source: Tensor, own: Tensor, dims: tuple[int, ...], classes: Classes) -> Tensor | None:
    """A classifier's tensor with the rows of the classes that both have; None where there are none, or it has another form."""
    (dim, *others), pairs = dims, [(row, at) for at, row in enumerate(classes.rows) if row is not None]
    expected = list(own.shape)
    expected[dim] = classes.num_source
    if others or not pairs or own.shape[dim] != len(classes.rows) or list(source.shape) != expected:
        return None
    taken, targets = (torch.tensor(numbers, device=own.device) for numbers in zip(*pairs, strict=True))
    return own.clone().index_copy(dim, targets, source.to(own.device, own.dtype).index_select(dim, taken))
