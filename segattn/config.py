"""The settings of an experiment: frozen dataclasses, changed with `dataclasses.replace` or from the command line.

An experiment is a function that returns an `Experiment` (see `segattn/experiments/`). It holds every setting that can change a
result and is written into the record. Where the run happens (device, workers, output folder) is not part of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from segattn.catalogue import refuse_modules, refuse_unknown_fields, usable


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images: the data set, its folder, its splits."""

    name: str = "streets"
    """Data set: a name, such as streets or cityscapes, or a dotted module path."""
    root: str | None = None
    """Folder of the data set; None for a generated one."""
    train_split: str = "train"
    val_split: str = "val"
    size: tuple[int, int] | None = None
    """Height and width in pixels of generated images (`streets` only)."""
    train_images: int | None = None
    """Number of training images to generate or to use; None for all."""
    val_images: int | None = None
    """Number of validation images to generate or to use; None for all."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the data set, such as augmented=false of voc or version=10k of coco_stuff."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Joint transforms of image and label in training; a value out of range raises ValueError."""

    crop_size: tuple[int, int] = (769, 769)
    """Height and width in pixels; smaller images are padded (mean colour, label 255)."""
    scale_range: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest factor on height and width."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    photometric: bool = True
    max_class_share: float = 1.0
    """Crops are redrawn (up to 10 times) while one class covers more than this share of the pixels that are not ignored."""
    short_side: int | None = None
    """Images are first resized to this short side (long side at most 4 times that), then scaled by `scale_range`."""

    def __post_init__(self) -> None:
        if len(self.crop_size) != 2 or min(self.crop_size) < 1:
            raise ValueError(f"augmentation.crop_size should be above 0, not {self.crop_size}; give height and width")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"augmentation.scale_range {self.scale_range} should be (smallest, largest), both above 0")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"augmentation.flip={self.flip} is a probability between 0 and 1")
        if not 0 < self.max_class_share <= 1:
            raise ValueError(f"augmentation.max_class_share={self.max_class_share} is a share above 0, at most 1")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"augmentation.short_side is {self.short_side}; it must be at least 1 pixel, or None")


@dataclass(frozen=True, kw_only=True)
class Model:
    """The network: head, backbone, and how images enter it."""

    head: str = "fcn"
    """Attention head: a name listed by `segattn heads`, or a dotted module path."""
    mode: Literal["faithful", "controlled"] = "faithful"
    """faithful: each paper's own head; controlled: the same convolutions around every mechanism."""
    backbone: str = "resnet101"
    output_stride: int = 8
    align_corners: bool = True
    auxiliary_weight: float = 0.4
    in_channels: int = 3
    """Bands of the images: 3 is RGB, 1 grey; for other numbers see docs/bands.md."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Mean of each band (0 to 1; red, green and blue) that is subtracted from each image; ImageNet's by default, as is `std`."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Standard deviation of each band (0 to 1) by which it is then divided."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Order in which the network takes red, green and blue."""
    pretrained: str | None = None
    """Weights to start from: the folder of a run, or of a study for its run of the same head, mode and seed; a trunk of `segattn
    zoo`; a file of a backbone, a URL, or a name: mmsegmentation:resnet101_v1c, torchvision:resnet101, timm:NAME."""
    first_layer: Literal["mean", "repeat", "zero"] = "mean"
    """Where pretrained weights take other bands: the new ones start with the mean of the known ones, a repetition, or zero."""
    init_head: Literal["random", "trunk"] = "random"
    """trunk: the head starts from the pretrained network's too, where names and shapes agree (controlled: all but mechanisms)."""
    head_options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the head, such as channels=256."""
    backbone_options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the backbone, such as stem=plain."""


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """The optimiser, its schedule, counted in iterations, and the loss."""

    train: Literal["all", "head"] = "all"
    """head: the pretrained backbone is frozen, with its norms in eval mode, and there is no auxiliary head."""
    freeze: str = ""
    """Parts not trained, norms in eval mode: stem, stage 3, stages 1-2 (with the stem), backbone, norms, gates (at 0)."""
    iterations: int = 80_000
    batch_size: int = 8
    """Images per iteration, over all processes."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 1e-2
    momentum: float = 0.9
    """Of SGD."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW: decay of the averages of the gradient and of its square."""
    weight_decay: float = 5e-4
    decay_norm_and_bias: bool = True
    """Off: no weight decay on norms, biases, and what a timm network exempts (positions, tokens)."""
    layer_decay: float = 1.0
    """Below 1: learning rate of a backbone layer as a multiple of the next layer's; the head has the full rate."""
    schedule: Literal["poly", "cosine"] = "poly"
    poly_power: float = 0.9
    min_lr: float = 1e-4
    warmup: int = 0
    """Iterations of linear warm-up."""
    warmup_ratio: float | None = None
    """Share of the learning rate at which the warm-up begins; by default 1 / (warmup + 1)."""
    clip_norm: float = 0.0
    """Above 0: the gradient is scaled down to this total norm where it is larger."""
    head_lr_factor: float = 1.0
    """Learning rate of the head, as a multiple of the backbone's."""
    loss: str = "ce"
    """Terms of ce, focal, dice, lovasz and boundary, such as "ce + 0.5 dice"; outputs other than the main one have ce."""
    label_smoothing: float = 0.0
    """Of ce: share of each pixel's target that is spread evenly over all classes."""
    lr_factors: dict[str, Any] = field(default_factory=dict)
    """Learning rates of stem, stage1 to stage4, backbone, head and auxiliary as multiples of lr, such as stem=0.1,stage4=0.5."""
    ohem: bool = False
    """Online hard example mining: confidence threshold 0.7, at least 100,000 pixels of an image kept (fewer below 512x512)."""
    class_weights: tuple[float, ...] = ()
    """Weight of each class in the loss, in the order of the data set's classes; empty: all 1."""
    class_balance: Literal["none", "log", "median"] = "none"
    """Class weights from the training labels' histogram; log: 1 / ln(1.02 + share), median: median(frequency) / frequency."""
    rare_class_sampling: float = 0.0
    """Above 0: temperature (usual: 0.01) at which a class is drawn, rare ones most often, then image and crop that hold it."""
    accumulation: int = 1
    """Gradient accumulation: number of parts into which each process splits its share of the batch."""
    freeze_norm: bool = False
    """Batch norms keep their running statistics; their weights and biases are still trained."""
    ema_decay: float = 0.0
    """Above 0: decay of an exponential moving average of the weights, which is what is evaluated and saved."""
    activation_checkpointing: bool = False
    """Recompute the backbone's blocks in the backward pass: less memory, a quarter to a third more time."""
    compile: bool = False
    """torch.compile the network in training and evaluation."""
    channels_last: bool = True
    """Memory format of images and weights."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 on GPUs that support it and on CPUs with AMX, otherwise fp32."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """The frozen backbone's maps in head-only training: the same samples for all heads and seeds, computed once or on the fly."""

    copies: int = 4
    """Augmented copies of each training image; each is a pure function of `seed`, image and copy."""
    seed: int = 0
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Type in which feature maps are stored, and to which they are rounded on the fly."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How predictions are made, and what is scored and saved at the end of a run; a value out of range raises ValueError."""

    mode: Literal["whole", "slide"] = "whole"
    """The whole image at once, or a sliding window."""
    crop_size: tuple[int, int] | None = None
    """Height and width of the sliding window in pixels; with mode slide only."""
    stride: tuple[int, int] | None = None
    """Vertical and horizontal step of the window in pixels, at most the window's size; by default two thirds of it."""
    flip: bool = False
    """Also predict the image mirrored left to right, and average both."""
    scales: tuple[float, ...] = (1.0,)
    """Factors on height and width; predictions are averaged over them."""
    examples: int = 4
    """Number of validation images saved as example pictures."""
    short_side: int | None = None
    """Images are first resized to this short side (long side at most 4 times that); scores are computed at the label's size."""
    strata: bool = True
    """Also score boundaries, and objects by size and width, at the end of a run."""
    without_attention: bool = True
    """Also score the network with its mechanism removed, at the end of a run."""

    def __post_init__(self) -> None:
        if self.mode not in ("whole", "slide"):
            raise ValueError(f"evaluation.mode is {self.mode!r}; it must be 'whole' or 'slide'")
        if self.mode == "slide":
            size, stride = self.window
            if min(*size, *stride) < 1:
                raise ValueError(
                    f"evaluation.crop_size is {size} and stride {stride}; all sizes must be at least 1 pixel"
                )
            if stride[0] > size[0] or stride[1] > size[1]:
                raise ValueError(
                    f"evaluation.stride {stride} is larger than crop_size {size}: pixels between windows would have no label"
                )
        elif self.crop_size is not None or self.stride is not None:
            raise ValueError("evaluation.crop_size and stride are for windows; leave them out or set mode='slide'")
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"evaluation.scales is {self.scales}; at least one factor above 0 is needed, e.g. (1.0,)")
        if self.examples < 0:
            raise ValueError(f"evaluation.examples should be 0 or more, not {self.examples}")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"evaluation.short_side is {self.short_side}; it must be at least 1 pixel, or None")

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Size and step of the sliding window, (height, width) each; raises ValueError without crop_size."""
        if self.crop_size is None:
            raise ValueError("evaluation.mode='slide' needs evaluation.crop_size, such as 769x769")
        height, width = self.crop_size
        return self.crop_size, self.stride or (math.ceil(height * 2 / 3), math.ceil(width * 2 / 3))

    @property
    def one_plain_pass(self) -> bool:
        """Whether each image is predicted once, whole and at its own size."""
        return (self.mode, self.scales, self.flip, self.short_side) == ("whole", (1.0,), False, None)

    @property
    def num_passes(self) -> int:
        """Predictions per image that are averaged."""
        return len(self.scales) * (2 if self.flip else 1)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that determines a result."""

    name: str
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    model: Model = Model()
    optimization: Optimization = Optimization()
    features: Features = Features()
    evaluation: Evaluation = Evaluation()
    seed: int = 0
    init_from: str | None = None
    """Network to start from, in place of model.pretrained: a run, a study, a network of `segattn zoo`, a checkpoint of
    mmsegmentation or its folder, or a file of weights. What fits is loaded, and the classifier by the classes' names."""
    validate_every: int = 8_000
    """Iterations between evaluations on the validation split; 0: only at the end."""
    checkpoint_every: int = 2_000
    """Iterations between checkpoints to resume from."""
    log_every: int = 50

    @property
    def network(self) -> Model:
        """`model` as it is built: head-only training has no auxiliary head, and `init_from` replaces `pretrained`."""
        fixed: dict[str, Any] = {"auxiliary_weight": 0.0} if self.optimization.train == "head" else {}
        fixed |= {"pretrained": None, "init_head": "random"} if self.init_from is not None else {}
        return dataclasses.replace(self.model, **fixed)


def to_dict(config: Any) -> dict[str, Any]:
    """An experiment as plain JSON types, as after a round trip through a file (tuples are lists); ValueError for nan and inf."""
    # asdict: msgspec leaves out fields that its own `convert` left at their defaults
    return msgspec.json.decode(msgspec.json.encode(usable(dataclasses.asdict(config))))


def from_dict(raw: dict[str, Any], *, allow_modules: Iterable[str] | None = ()) -> Experiment:
    """An experiment from `to_dict`'s form, as a file holds it. None for one that is compared only: any module may be named.

    `run`, which says in a run's `experiment.json` what that run began with, is not read.

    Raises:
        ValueError: a field is unknown, missing or of the wrong type, a number is not finite, or a module is not allowed.
    """
    if isinstance(raw, dict):
        raw = {name: value for name, value in raw.items() if name != "run"}
    refuse_unknown_fields(usable(raw), Experiment(name=""), "an experiment")
    try:
        experiment = msgspec.convert(raw, Experiment)
    except msgspec.ValidationError as error:
        raise ValueError(f"not an experiment: {error!s:.500}") from None
    if allow_modules is not None:
        refuse_modules("data set", [experiment.data.name], allow_modules)
        refuse_modules("head", [experiment.model.head, experiment.model.head_options], allow_modules)
    return experiment


def with_head(config: Experiment, head: str, *, seed: int) -> Experiment:
    """The same experiment with another head and seed."""
    return dataclasses.replace(config, model=dataclasses.replace(config.model, head=head), seed=seed)
