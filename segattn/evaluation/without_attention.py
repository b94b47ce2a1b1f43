"""What a mechanism contributes to a trained network: the accuracy without it, and the gates that it has learnt.

The mechanism is cut out without retraining: later layers receive a replacement of its output, which the head declares as
`without_attention` (`segattn/heads/parts/contract.py`):

    identity    the mechanism's input, if the mechanism adds to its input
    mean        otherwise the mean of each channel of its output, over all positions of all images of the split

Of a mechanism that returns a dict, "context" is replaced; of one that returns several maps, each of them. The other weights were
trained with the mechanism in place. The loss of accuracy therefore says how much this network relies on its mechanism, not what a
network trained without one would reach: that is the baseline.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from segattn import records
from segattn.config import Experiment
from segattn.evaluation.evaluate import Evaluated, _share
from segattn.model import SegmentationModel, build_model

Replacement = Literal["identity", "mean"]
DEFINITIONS: dict[str, str] = {
    "identity": "the mechanism's input takes the place of its output",
    "mean": "the mean of each channel of the mechanism's output over these images takes the place of its output",
}
"""Each replacement in words."""


def has_mechanism(model: SegmentationModel) -> bool:
    """Whether there is a mechanism to cut out: the head declares one and is no baseline."""
    return model.declared("attention") is not None and model.declared("family") != "baseline"


def replacement(model: SegmentationModel) -> Replacement:
    """What replaces the mechanism's output, as the head declares.

    Raises:
        ValueError: the head is a baseline, declares no mechanism, or declares something else as `without_attention`.
    """
    head = _head_name(model)
    if model.declared("attention") is None:
        raise ValueError(
            f"head {head} declares no mechanism, so nothing can be cut out; declare it: self.attention = MyMechanism(channels)"
        )
    if not has_mechanism(model):
        raise ValueError(
            f"head {head} is a baseline without attention, so nothing can be cut out; use an attention head"
        )
    declared: Replacement = model.declared("without_attention")
    if declared not in get_args(Replacement):
        raise ValueError(f"head {head} declares without_attention = {declared!r}; write 'identity' or 'mean'")
    return declared


class ChannelMeans:
    """The mean of each channel of a mechanism's maps over everything that it has computed, summed in float64."""

    def __init__(self) -> None:
        self.sums: list[Tensor] = []
        """float64 (C,) for each map."""
        self.positions: list[int] = []

    def add(self, maps: Sequence[Tensor]) -> None:
        """Include all positions of all samples of the maps, (B, C, H, W) each."""
        if not self.sums:
            self.sums = [torch.zeros(x.shape[1], dtype=torch.float64, device=x.device) for x in maps]
            self.positions = [0] * len(maps)
        for index, x in enumerate(maps):
            self.sums[index] += x.sum((0, 2, 3), dtype=torch.float64)
            self.positions[index] += x.shape[0] * x.shape[2] * x.shape[3]

    def over_processes(self) -> list[Tensor]:
        """The means (C,) over what all processes have computed, on the CPU; all of them call this together."""
        shares = [share for share in _gathered(([total.cpu() for total in self.sums], self.positions)) if share[0]]
        sums, positions = zip(*shares, strict=True)
        return [sum(own) / sum(counts) for own, counts in zip(zip(*sums), zip(*positions), strict=True)]  # noqa: B905


@contextmanager
def collected(model: SegmentationModel) -> Iterator[ChannelMeans | None]:
    """Collect the channel means while the network is evaluated inside the context, which saves `evaluate_without` a pass.

    None where there is nothing to collect: the replacement needs no means, or the network is compiled.
    """
    if not has_mechanism(model) or replacement(model) != "mean" or _is_compiled(model):
        yield None
        return
    means = ChannelMeans()
    with observed(model, means):
        yield means


@contextmanager
def observed(model: SegmentationModel, means: ChannelMeans) -> Iterator[None]:
    """Add to `means` whatever the mechanism returns inside the context."""
    with _hooked(model, lambda inputs, maps: means.add(maps)):
        yield


@contextmanager
def removed(model: SegmentationModel, means: Sequence[Tensor] | None = None) -> Iterator[None]:
    """Cut the mechanism out inside the context; afterwards, also after an error, the network is as before.

    `means` (C,) of each map replace its output if the head declares "mean".

    Raises:
        ValueError: nothing can be cut out, or the mechanism's maps cannot be replaced by its input.
    """
    if replacement(model) == "identity":

        def replaced(inputs: list[Tensor], maps: list[Tensor]) -> list[Tensor]:
            shapes = [[tuple(x.shape) for x in tensors] for tensors in (inputs[: len(maps)], maps)]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"head {_head_name(model)} declares without_attention = 'identity', but its mechanism turns maps of "
                    f"{_listed(shapes[0])} into maps of {_listed(shapes[1])}; declare 'mean'"
                )
            return inputs
    else:
        assert means is not None

        def replaced(inputs: list[Tensor], maps: list[Tensor]) -> list[Tensor]:
            return [mean[:, None, None] for mean in means]

    with _hooked(model, replaced):
        yield


def evaluate_without(
    model: SegmentationModel, score: Callable[[], Evaluated], means: ChannelMeans | None = None
) -> Evaluated:
    """What `score()` returns while the mechanism of `model` is cut out; `score` evaluates the network on a split.

    A head that declares "mean" needs a pass over the images first, unless `means` were `collected` in an earlier evaluation of
    the same images. With several processes all call this together.

    Raises:
        ValueError: as `removed`.

    >>> without = evaluate_without(model, lambda: evaluate(model, dataset, strata=True))  # doctest: +SKIP
    """
    if replacement(model) == "identity":
        with removed(model):
            return score()
    if means is None:
        means = ChannelMeans()
        with observed(model, means):
            score()
    with removed(model, means.over_processes()):
        return score()


def check(config: Experiment, num_classes: int) -> None:
    """Raise ValueError if the end of a run could not cut the mechanism out; nothing is computed or allocated."""
    if not config.evaluation.without_attention:
        return
    with torch.device("meta"):
        model = build_model(
            dataclasses.replace(config.network, pretrained=None, init_head="random"), num_classes
        ).eval()
        image = torch.empty(1, model.in_channels, *config.augmentation.crop_size)
    if not has_mechanism(model):
        return
    means = ChannelMeans()
    with torch.no_grad(), observed(model, means):
        model(image)
    with torch.no_grad(), removed(model, means.sums):
        model(image)


def learnt_gates(model: SegmentationModel) -> dict[str, float]:
    """The learnt gates that the head declares, by their name within the mechanism: a scalar, or the mean magnitude of a vector.

    Gates that do not exist with the chosen options are left out.
    """
    gates = {name: value.detach().double() for name, value in gates_of(model).items()}
    return {name: float(value if value.ndim == 0 else value.abs().mean()) for name, value in gates.items()}


def gates_of(model: SegmentationModel) -> dict[str, torch.nn.Parameter]:
    """The parameters that the head declares as gates, by their name within the mechanism, without absent ones."""
    parameters = dict(model.mechanism.named_parameters())
    return {name: parameters[name] for name in model.declared("gates") if name in parameters}


def record(model: SegmentationModel, without: Evaluated) -> records.WithoutAttention:
    """The scores of a network without its mechanism, for its record."""
    strata = without.strata
    return records.WithoutAttention(
        replacement=replacement(model),
        mean_iou=without.scores.mean_iou,
        iou=without.scores.iou,
        boundary_mean_iou=None if strata is None else strata.boundary_mean_iou,
        sizes={} if strata is None else {stratum.name: stratum.mean_iou for stratum in strata.sizes},
        widths={} if strata is None else {stratum.name: stratum.mean_iou for stratum in strata.widths},
    )


Hook = Callable[[list[Tensor], list[Tensor]], Sequence[Tensor] | None]
"""From the mechanism's input tensors and the maps that it returns to the maps that replace these; None leaves them."""


@contextmanager
def _hooked(model: SegmentationModel, hook: Hook) -> Iterator[None]:
    """Call `hook` whenever the mechanism has been computed inside the context."""
    head, calls = _head_name(model), 0

    def after(module: object, arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
        nonlocal calls
        calls += 1
        maps = _maps(output, head)
        inputs = [value for value in (*arguments, *options.values()) if isinstance(value, Tensor)]
        replacing = hook(inputs, maps)
        return None if replacing is None else _with_maps(output, _laid_out(replacing, maps))

    handle = model.mechanism.register_forward_hook(after, with_kwargs=True)
    try:
        if _is_compiled(model):  # compiled code may not see the hook
            with torch.compiler.set_stance("force_eager"):
                yield
        else:
            yield
    finally:
        handle.remove()
    if not any(_gathered(calls)):
        raise ValueError(
            f"head {head} does not call its mechanism as a module, so it cannot be cut out; write: self.attention(x)"
        )


def _maps(output: Any, head: str) -> list[Tensor]:
    """The maps (B, C, H, W) in what a mechanism returns."""
    maps = output.get("context") if isinstance(output, dict) else output
    maps = list(maps) if isinstance(maps, (tuple, list)) else [maps]
    if not maps or not all(isinstance(x, Tensor) and x.ndim == 4 for x in maps):
        raise ValueError(
            f"the mechanism of head {head} returns no map (B, C, H, W), nor several, nor a dict with one under 'context', so it "
            "cannot be cut out; use --evaluation.no-without-attention"
        )
    return maps


def _laid_out(values: Sequence[Tensor], maps: Sequence[Tensor]) -> list[Tensor]:
    """The values as new tensors with shape, precision and memory format of the maps that they replace."""
    return [torch.empty_like(x).copy_(value) for x, value in zip(maps, values, strict=False)]


def _with_maps(output: Any, maps: list[Tensor]) -> Any:
    """What the mechanism returned, with other maps in it."""
    if isinstance(output, dict):
        context = output["context"]
        return {**output, "context": _with_maps(context, maps)}
    return type(output)(maps) if isinstance(output, (tuple, list)) else maps[0]


def _is_compiled(model: SegmentationModel) -> bool:
    return any(getattr(module, "_compiled_call_impl", None) is not None for module in model.modules())


def _gathered(value: Any) -> list[Any]:
    """The value of every process, in order of rank."""
    if (world_size := _share()[1]) == 1:
        return [value]
    values = [None] * world_size
    torch.distributed.all_gather_object(values, value)
    return values


def _head_name(model: SegmentationModel) -> str:
    """The name of the head, or the dotted path of its module."""
    return str(getattr(model.head, "defined_in", type(model.head).__module__)).removeprefix("segattn.heads.")


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes) or "nothing"
