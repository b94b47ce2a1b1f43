"""The record of a run: one network trained with one seed and evaluated. Self-contained: it needs neither torch nor the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from segattn.records.cost import Cost
from segattn.records.display import table
from segattn.records.head_facts import HeadFacts
from segattn.records.schema import SCHEMA, Environment


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Accuracy over one split, all from one confusion matrix over the whole data set."""

    mean_iou: float
    """In [0, 1]; the mean over classes that occur in labels or predictions."""
    pixel_accuracy: float
    mean_accuracy: float
    """Mean over classes that occur in the labels of their recall."""
    iou: list[float | None]
    """Per class; None where the class occurs neither in labels nor in predictions."""
    accuracy: list[float | None]
    """Recall per class; None where the class does not occur in the labels."""
    confusion: list[list[int]]
    """Pixels, row = label, column = prediction."""
    num_images: int
    definition: str
    """The definition in words."""
    inference: str
    """How predictions were made in words: whole or sliding, flip, scales."""

    @property
    def images(self) -> str:
        """The number of images in words: `1 image`, `400 images`."""
        return f"{self.num_images:,} image{'s' * (self.num_images != 1)}"


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """IoU over the pixels of one stratum of the labels, such as those of small segments."""

    name: str
    share: float
    """Of the labelled pixels."""
    iou: list[float | None]
    """Per class; None where the class has no pixels in the stratum."""
    mean_iou: float | None
    """Over the classes that have pixels in the stratum."""


@dataclass(frozen=True, kw_only=True)
class Strata:
    """Accuracy at boundaries, and by the size and width of labelled segments."""

    boundary_iou: list[float | None]
    """Per class; None where the class occurs neither in labels nor in predictions."""
    boundary_mean_iou: float | None
    sizes: list[Stratum]
    """Small, medium and large segments."""
    widths: list[Stratum]
    """Thin, medium and thick places."""
    definition: str


@dataclass(frozen=True, kw_only=True)
class WithoutAttention:
    """Accuracy of the same trained network with its mechanism cut out, without retraining."""

    replacement: str
    """What takes the place of the mechanism's output: `identity`, its input, or `mean`, the mean of each channel of its output
    over the split."""
    mean_iou: float
    iou: list[float | None]
    """Per class, as in `Scores`."""
    boundary_mean_iou: float | None = None
    """None where strata were not scored."""
    sizes: dict[str, float | None] = field(default_factory=dict)
    """Mean IoU of small, medium and large segments; empty where strata were not scored."""
    widths: dict[str, float | None] = field(default_factory=dict)
    """Mean IoU of thin, medium and thick places."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a network with pretrained weights, or with `Experiment.init_from`, started from."""

    from_pretrained: str
    """Which weights were loaded and which were random, in words."""
    init_head: str
    """`trunk` or `random`, as `config.Model.init_head`; `random` with `init_from`."""
    identity: bool | None = None
    """Whether the new mechanism returned its input, so that it changed nothing at the start. None where that was not tried: a
    head at random, no mechanism that can be tried, or one whose weights were loaded too."""
    loaded: dict[str, tuple[int, int]] = field(default_factory=dict)
    """With `init_from`: how many tensors of backbone, head and auxiliary head were loaded, and how many each has."""
    classes: list[str] = field(default_factory=list)
    """With `init_from`: the classes whose rows of the classifier were loaded."""
    skipped: list[str] = field(default_factory=list)
    """With `init_from`: what of the source was not loaded, and why."""
    random: list[str] = field(default_factory=list)
    """With `init_from`: modules with tensors that started at random, beside the classes that are not in `classes`."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One line of the training log."""

    iteration: int
    loss: float
    lr: float
    losses: dict[str, float] = field(default_factory=dict)
    """Unweighted loss of each output."""
    mean_iou: float | None = None
    """On the validation split, where it was measured at this iteration."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """Pictures of one validation image; paths relative to the record's folder."""

    name: str
    image: str
    label: str | None
    """Coloured label."""
    prediction: str
    """Coloured prediction."""


@dataclass(frozen=True, kw_only=True)
class EarlierSettings:
    """What a part of the training had in place of the settings in `config`: the run went on from a checkpoint with others."""

    until: int
    """The iteration of that checkpoint."""
    settings: dict[str, Any]
    """By path, such as `optimization.lr`."""
    fresh_momentum: bool = False
    """Whether momentum began anew there, because the run had been finished."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One network trained with one seed and evaluated."""

    experiment: str
    head: str
    mode: str
    """`faithful` or `controlled`."""
    seed: int
    dataset: str
    split: str
    class_names: list[str]
    palette: list[tuple[int, int, int]]
    ignore_index: int
    config: dict[str, Any]
    """The whole experiment as resolved."""
    scores: Scores
    curve: list[CurvePoint]
    iterations: int
    train_seconds: float
    evaluate_seconds: float
    """Of the last evaluation, including that without the mechanism."""
    environment: Environment
    examples: list[Example] = field(default_factory=list)
    cost: Cost | None = None
    """Cost of the network that was trained, at its crop size."""
    created: str = ""
    """UTC, ISO 8601."""
    per_image: str | None = None
    """Path, relative to the record, of an .npz with `names`, `confusion` (image, label, prediction) and, with strata,
    `boundary` (image, intersection and union, class) and `strata` (image, labelled and right, class, size, width);
    `confusion_without` is `confusion` without the mechanism."""
    strata: Strata | None = None
    without_attention: WithoutAttention | None = None
    """None where it was not scored: an older record, no mechanism, or switched off."""
    gates: dict[str, float] | None = None
    """The learnt gates by their name within the mechanism: the value of a scalar, the mean absolute value of a vector, such as
    batch norm's scale. None in older records."""
    head_facts: HeadFacts | None = None
    """What the head declares; None in records of version 0.1.0."""
    start: Start | None = None
    """None in older records, and where the network started at random."""
    earlier_settings: list[EarlierSettings] = field(default_factory=list)
    """Of a run that went on with other settings after it diverged, or with a longer schedule; in order."""
    kind: str = "run"
    schema: int = SCHEMA

    def _repr_html_(self) -> str:
        scores = self.scores
        rows = [
            ("data", f"{self.dataset} {self.split}, {scores.images}, {len(self.class_names)} classes"),
            ("mIoU", f"{100 * scores.mean_iou:.2f} %"),
            ("pixel accuracy", f"{100 * scores.pixel_accuracy:.2f} %"),
            (
                "training",
                f"{self.iterations:,} iterations, {self.train_seconds / 60:.1f} min on {self.environment.device}",
            ),
        ]
        if self.without_attention is not None:
            rows.insert(2, ("mIoU without attention", f"{100 * self.without_attention.mean_iou:.2f} %"))
        if self.cost is not None:
            height, width = self.cost.input_size
            rows.append(("cost", f"{self.cost.network.macs / 1e9:.2f} GMACs at {height}x{width}"))
        return table(f"{self.head} ({self.mode}), seed {self.seed}", rows)


_NAMED_AFTER_THE_FOLDER = ("folder", "huggingface", "webdataset", "packed")


def same_data(one: RunRecord, other: RunRecord) -> bool:
    """Whether two runs have one data set, also where an earlier version recorded the reader's name, such as folder."""
    if one.dataset == other.dataset:
        return True
    sections = [record.config.get("data") or {} for record in (one, other)]
    readers = [section.get("name") for section in sections]
    if readers[0] != readers[1] or readers[0] not in _NAMED_AFTER_THE_FOLDER:
        return False
    return readers[0] in (one.dataset, other.dataset) and sections[0].get("root") == sections[1].get("root")
