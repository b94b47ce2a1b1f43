"""Typed, versioned result records: what a run measured, written as JSON and read back with validation.

A record is self-contained: `segattn report` needs nothing else, neither torch nor the data. Fields are never renamed within
a schema version; a reader refuses a version that it does not know and says so.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from segattn.records.measurements import MachineLimit, Result

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a figure was measured."""

    segattn: str
    commit: str | None
    python: str
    torch: str
    system: str
    processor: str
    device: str
    """`cpu` or the GPU's name."""
    threads: int
    precision: str
    """Arithmetic of the forward pass: `fp32`, `bf16` or `fp16`."""
    cores: int | None = None
    """Logical processors that the process may use."""
    clock_mhz: float | None = None
    """Of the processor, when it was asked; None where the system does not say."""
    governor: str | None = None
    """How the system sets the processor's clock; None where it does not say."""
    settings: dict[str, str] = field(default_factory=dict)
    """Of torch, OpenMP and the device, as far as they move times: instruction set, thread binding, driver, power limit."""


@dataclass(frozen=True, kw_only=True)
class PartCost:
    """Cost of one part (mechanism, head or network) for one image."""

    parameters: int
    macs: int
    """Multiply-adds of products and convolutions, bias not counted."""
    flops: int
    """2 per multiply-add."""
    study: int
    """The study's convention: 2HW(C_in K^2 + 1)C_out for a convolution, 2mkn for a product."""
    other: int
    """Element operations of norm, softmax, resize, pooling and activation; in none of the figures above."""
    activation_bytes: int
    """Bytes of every tensor that the part's operators write, fp32."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of one network at one input size, three ways."""

    head: str
    mode: str
    backbone: str
    output_stride: int
    num_classes: int
    input_size: tuple[int, int]
    """Height and width of the image in pixels."""
    mechanism: PartCost
    head_total: PartCost
    network: PartCost


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
    """Accuracy at boundaries and by the size and width of what is labelled."""

    boundary_iou: list[float | None]
    """Per class; None where the class occurs neither in labels nor in predictions."""
    boundary_mean_iou: float | None
    sizes: list[Stratum]
    """Small, medium and large segments."""
    widths: list[Stratum]
    """Thin, medium and thick places."""
    definition: str


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
    environment: Environment
    examples: list[Example] = field(default_factory=list)
    cost: Cost | None = None
    """Cost of the network that was trained, at its crop size."""
    created: str = ""
    """UTC, ISO 8601."""
    per_image: str | None = None
    """Path, relative to the record, of an .npz with `names`, `confusion` (image, label, prediction) and, with strata,
    `boundary` (image, intersection and union, class) and `strata` (image, labelled and right, class, size, width)."""
    strata: Strata | None = None
    kind: str = "run"
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study: which runs belong to it, and cost at the paper's sizes."""

    experiment: str
    command: str
    runs: list[str]
    """Paths of run records, relative to this record's folder."""
    costs: list[Cost]
    """Every head at the reference sizes (769x769 and 520x520 with ResNet-101)."""
    environment: Environment
    created: str = ""
    kind: str = "study"
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class BenchRecord:
    """Time and memory of networks on one machine, as `segattn bench` measures them; see benchmarks/README.md."""

    suite: str
    """What was asked: `bench`, or `sweep size`."""
    command: str
    environment: Environment
    results: list[Result]
    limits: list[MachineLimit]
    rounds: int
    """Timed passes of each case, unless the budget of seconds ended them earlier."""
    warmup: int
    """Passes of each case before them."""
    seed: int
    """Of the weights, the inputs and the order within the rounds."""
    seconds: float
    created: str = ""
    """UTC, ISO 8601."""
    kind: str = "bench"
    schema: int = SCHEMA


_KINDS: dict[str, type] = {"run": RunRecord, "study": StudyRecord, "bench": BenchRecord}


def write(record: Any, path: str | os.PathLike[str]) -> Path:
    """Write a record as JSON; the file appears whole or not at all."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    return write_bytes(data + b"\n", path)


def write_bytes(data: bytes, path: str | os.PathLike[str]) -> Path:
    """Write `data` to `path` through a synced temporary file beside it and a rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read(path: str | os.PathLike[str]) -> Any:
    """Read a run, study or bench record.

    Raises:
        ValueError: the file is no record, of another schema version, or a field is missing or of the wrong type; the
            message names the file and the field.
    """
    path = Path(path)
    try:
        raw = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path}: no such record") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable as a record ({error.strerror})") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: not a JSON record ({error})") from None
    if not isinstance(raw, dict) or raw.get("kind") not in _KINDS:
        raise ValueError(f"{path}: not a segattn record (its kind should be one of {', '.join(_KINDS)})")
    if raw.get("schema") != SCHEMA:
        raise ValueError(f"{path}: record schema {raw.get('schema')}, this version reads {SCHEMA}; run the study again")
    try:
        return msgspec.convert(raw, _KINDS[raw["kind"]])
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None
