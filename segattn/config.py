"""What an experiment is: frozen dataclasses, changed with `dataclasses.replace` or from the command line.

An experiment is a function that returns an `Experiment` (see `segattn/experiments/`). Everything that can change a result is in
here and is written into the record; where the run happens (device, workers, output folder) is not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from segattn.catalogue import hint


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which images."""

    name: str = "streets"
    """Data set: a name of `segattn.datasets.names()` or a dotted module path."""
    root: str | None = None
    """Folder of the data set; None for a generated one."""
    train_split: str = "train"
    val_split: str = "val"
    size: tuple[int, int] | None = None
    """Height and width in pixels of generated images (`streets` only)."""
    train_images: int | None = None
    """How many images to generate, or to take, for training; None for all."""
    val_images: int | None = None
    """The same for validation."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the data set, such as augmented=false of voc or version=10k of coco_stuff."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Joint transforms of image and label in training."""

    crop_size: tuple[int, int] = (769, 769)
    """Height and width in pixels; smaller images are padded (mean colour, label 255)."""
    scale_range: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    """Probability of a horizontal flip."""
    photometric: bool = True
    max_class_share: float = 1.0
    """Crops are drawn again (up to 10 times) while one class covers more than this share."""
    short_side: int | None = None
    """Images are first brought to this short side (long side at most 4 times that), then scaled by `scale_range`."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Which network."""

    head: str = "fcn"
    """Attention head: a name of `segattn heads` or a dotted module path."""
    mode: Literal["faithful", "controlled"] = "faithful"
    """faithful: each paper's own head; controlled: the same convolutions around every mechanism."""
    backbone: str = "resnet101"
    output_stride: int = 8
    align_corners: bool = True
    auxiliary_weight: float = 0.4
    pretrained: str | None = None
    """Backbone weights: a file, a URL, or a name such as mmsegmentation:resnet101_v1c or torchvision:resnet101."""
    head_options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the head, such as channels=256."""
    backbone_options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the backbone, such as stem=plain."""


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """SGD with a polynomial schedule, counted in iterations."""

    iterations: int = 80_000
    batch_size: int = 8
    """Over all processes together."""
    lr: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_norm_and_bias: bool = True
    """False: no weight decay on norms and biases."""
    poly_power: float = 0.9
    min_lr: float = 1e-4
    warmup: int = 0
    """Iterations of linear warm-up."""
    head_lr_factor: float = 1.0
    """The head's learning rate is this times the backbone's."""
    ohem: bool = False
    """Online hard example mining: confidence threshold 0.7, at least 100,000 pixels kept."""
    class_weights: tuple[float, ...] = ()
    """Weight of each class in the loss, in the order of the data set's classes; none: all 1."""
    class_balance: Literal["none", "log", "median"] = "none"
    """Class weights from the training labels' histogram; log: 1 / ln(1.02 + share), median: median(frequency) / frequency."""
    accumulation: int = 1
    """Parts that a process's share of the batch passes through the network in, one after another."""
    freeze_norm: bool = False
    """Batch norms keep their running statistics; their weights and biases are still trained."""
    ema_decay: float = 0.0
    """Above 0: the weights are averaged exponentially, and the average is what is evaluated and kept."""
    activation_checkpointing: bool = False
    """Recompute the backbone's blocks in the backward pass: less memory, a quarter to a third more time."""
    compile: bool = False
    """torch.compile the network in training and evaluation."""
    channels_last: bool = True
    """Memory format of images and weights."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 on a GPU that has it and on processors with AMX, else fp32."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How predictions are made for the scores."""

    mode: Literal["whole", "slide"] = "whole"
    crop_size: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    examples: int = 4
    """How many validation images are kept as pictures."""
    short_side: int | None = None
    """Images are first brought to this short side (long side at most 4 times that); scores are at the label's own size."""
    strata: bool = True
    """Also score boundaries, and objects by size and width, at the end of a run."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that determines a result."""

    name: str
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    model: Model = Model()
    optimization: Optimization = Optimization()
    evaluation: Evaluation = Evaluation()
    seed: int = 0
    validate_every: int = 8_000
    """Iterations between measurements on the validation split; 0 for the end only."""
    checkpoint_every: int = 2_000
    """Iterations between checkpoints to resume from."""
    log_every: int = 50


def to_dict(config: Any) -> dict[str, Any]:
    """An experiment as plain JSON types, as it reads after a round trip through a file (tuples are lists)."""
    # asdict: msgspec leaves out fields that its own `convert` left at their defaults
    return msgspec.json.decode(msgspec.json.encode(dataclasses.asdict(config)))


def from_dict(raw: dict[str, Any]) -> Experiment:
    """An experiment from `to_dict`'s form.

    Raises:
        ValueError: a field is unknown, missing or of the wrong type.
    """
    _refuse_unknown_fields(raw, Experiment(name=""))
    try:
        return msgspec.convert(raw, Experiment)
    except msgspec.ValidationError as error:
        raise ValueError(f"not an experiment: {error}") from None


def _refuse_unknown_fields(raw: Any, known: Any, path: str = "") -> None:
    """Raise for a field that a configuration does not have; msgspec would leave it out without a word."""
    if not isinstance(raw, dict) or not dataclasses.is_dataclass(known):
        return
    allowed = [field.name for field in dataclasses.fields(known)]
    for name, value in raw.items():
        if name not in allowed:
            close = hint(name, allowed, most=1)
            raise ValueError(f"not an experiment: unknown field {path}{name}; {close}Its fields: {', '.join(allowed)}")
        _refuse_unknown_fields(value, getattr(known, name), f"{path}{name}.")


def check(config: Experiment) -> None:
    """Refuse values that no run could use.

    Raises:
        ValueError: naming the field, what was given and what is allowed.
    """
    optimization, augmentation = config.optimization, config.augmentation
    positive = {
        "optimization.iterations": optimization.iterations,
        "optimization.batch_size": optimization.batch_size,
        "optimization.lr": optimization.lr,
        "augmentation.crop_size": min(augmentation.crop_size),
        "augmentation.scale_range": min(augmentation.scale_range),
        "augmentation.short_side": 1 if augmentation.short_side is None else augmentation.short_side,
        "evaluation.short_side": 1 if config.evaluation.short_side is None else config.evaluation.short_side,
        "optimization.accumulation": optimization.accumulation,
        "checkpoint_every": config.checkpoint_every,
        "log_every": config.log_every,
    }
    for name, value in positive.items():
        if value <= 0:
            raise ValueError(f"{name} should be above 0, not {value}")
    not_negative = {
        "optimization.momentum": optimization.momentum,
        "optimization.weight_decay": optimization.weight_decay,
        "optimization.min_lr": optimization.min_lr,
        "optimization.warmup": optimization.warmup,
        "evaluation.examples": config.evaluation.examples,
        "model.auxiliary_weight": config.model.auxiliary_weight,
        "validate_every": config.validate_every,
        "seed": config.seed,
    }
    for name, value in not_negative.items():
        if value < 0:
            raise ValueError(f"{name} should be 0 or more, not {value}")
    if augmentation.scale_range[0] > augmentation.scale_range[1]:
        raise ValueError(f"augmentation.scale_range {augmentation.scale_range} should be (smallest, largest)")
    if not 0 <= augmentation.flip <= 1:
        raise ValueError(f"augmentation.flip={augmentation.flip} is a probability between 0 and 1")
    if config.evaluation.mode == "slide" and config.evaluation.crop_size is None:
        raise ValueError("evaluation.mode='slide' needs evaluation.crop_size (HEIGHTxWIDTH)")
    _check_options(optimization)


def _check_options(optimization: Optimization) -> None:
    if not 0 <= optimization.ema_decay < 1:
        raise ValueError(f"optimization.ema_decay={optimization.ema_decay} should be at least 0 (off) and below 1")
    if optimization.batch_size % optimization.accumulation:
        raise ValueError(
            f"optimization.batch_size {optimization.batch_size} cannot be split into {optimization.accumulation} parts; "
            "give a multiple of optimization.accumulation"
        )
    if optimization.class_weights and optimization.class_balance != "none":
        raise ValueError(
            "optimization.class_weights are given and class_balance asks for computed ones; use one of them"
        )
    if optimization.class_weights and (min(optimization.class_weights) < 0 or max(optimization.class_weights) == 0):
        raise ValueError(f"optimization.class_weights {optimization.class_weights} should be 0 or more, not all 0")
    if optimization.compile and optimization.activation_checkpointing:
        raise ValueError("optimization.compile and activation_checkpointing do not go together; turn one of them off")


def with_head(config: Experiment, head: str, *, seed: int) -> Experiment:
    """The same experiment with another head and seed."""
    return dataclasses.replace(config, model=dataclasses.replace(config.model, head=head), seed=seed)
