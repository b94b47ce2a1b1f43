"""The record of a benchmark: cases, their times, memory and work, and the machine's limits; see benchmarks/README.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from segattn.records.head_facts import HeadFacts
from segattn.records.schema import SCHEMA, Environment


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is run: a part of a network, at a size, in an arithmetic."""

    head: str
    mode: str
    """`faithful` or `controlled`."""
    part: str
    """`mechanism`, `head` or `network`."""
    phase: str
    """`inference`: forward without gradients. `training`: forward and backward from a random gradient with gradients of the
    inputs; of a network forward, loss, backward and SGD's step."""
    implementation: str
    """`auto`, `reference` (the equation written out) or `fast`."""
    backbone: str
    output_stride: int
    num_classes: int
    input_size: tuple[int, int]
    """Height and width of the image in pixels; a mechanism or head gets the maps that the backbone makes of it."""
    map_size: tuple[int, int]
    """Height and width of the backbone's last map."""
    batch: int
    dtype: str
    """`fp32`, `tf32`, or autocast to `bf16` or `fp16` with weights in fp32, as in training and evaluation."""
    channels_last: bool
    compile: bool
    in_channels: int = 3
    """Bands of the image."""
    feature_scale: float = 1.0
    """Factor on the random maps that a mechanism or head gets; unscaled attention logits grow with its square."""
    network: str = ""
    """The trained network whose size and options these are, as it was named; empty: a head as it is by default."""
    form: str = "eager"
    """`eager`: by torch as built, or, with `compile`, by torch.compile. Of networks also a form of `segattn.inference.forms`."""
    head_options: dict[str, Any] = field(default_factory=dict, hash=False)
    backbone_options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def label(self) -> str:
        """What tables and figures call it: the trained network, or the head."""
        return self.network or self.head


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of one pass over the batch, until the device has finished."""

    samples_ms: list[float]
    """Every timed pass, in the order of the rounds."""
    median_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    p95_ms: float


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """The most memory in use during one pass (a network's training: two), in a process of its own."""

    extra_bytes: int
    """Above module and inputs."""
    total_bytes: int
    """Above Python and its libraries: module, inputs and extra."""
    method: str
    """How it was measured."""
    reserved_bytes: int | None = None
    """CUDA: what the allocator had reserved on the device."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the ledger counts for one pass over the batch; training as three times the forward pass."""

    macs: int
    """Multiply-adds of the equation, whichever form computes it."""
    flops: int
    """2 per multiply-add."""
    other: int
    """Element operations of norm, softmax, resize and the like."""
    bytes: int
    """Read and written by the operators, each operand once, as if there were no cache: of the form that ran, or of the equation
    where that is less (a form that works in blocks also counts what it rereads from the cache)."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of a case."""

    case: Case
    outcome: str
    """`ok`, `out of memory`, `refused` (by the head or the device) or `failed`."""
    message: str = ""
    """Why it is not ok, or what is missing."""
    latency: Latency | None = None
    memory: PeakMemory | None = None
    work: Work | None = None
    group: int = 0
    """Results of one group were timed in the same rounds."""


@dataclass(frozen=True, kw_only=True)
class MachineLimit:
    """The limits of the machine, timed in the same rounds as the cases of a group."""

    group: int
    dtype: str
    product_size: int
    """n of the n x n matrices multiplied."""
    product_flops: float
    """2 n^3 by the median time, per second."""
    product_flops_best: float
    copy_bytes: int
    """Size of the tensor copied."""
    bandwidth: float
    """Bytes read and written by the median time, per second."""
    bandwidth_best: float


@dataclass(frozen=True, kw_only=True)
class BenchRecord:
    """Time and memory of networks on one machine, as `segattn bench` measures them; see benchmarks/README.md."""

    suite: str
    """What was requested: `bench`, or `sweep size`."""
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
    head_facts: dict[str, HeadFacts] = field(default_factory=dict)
    """What each head declares, by its name; empty in records of version 0.1.0."""
    kind: str = "bench"
    schema: int = SCHEMA
