"""A network written as .onnx or .pt2, run in its runtime and compared with the network before the file gets its name."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segattn import records
from segattn.data.transforms import Normalization, to_tensor
from segattn.inference.export.archive import EXTRA
from segattn.inference.export.facts import Facts, facts_of
from segattn.inference.export.form import DEFAULT_OPSET, Form, Recorded
from segattn.inference.export.quantize import quantized
from segattn.inference.export.runtime import ExportedModel, load_exported
from segattn.model import SegmentationModel
from segattn.records import integrity

SIZES = ((1, 97, 161), (3, 145, 89))
"""Batch, height and width at which a file is compared with the network: other ones than it was recorded with."""
TOLERANCE = {"fp32": 5e-3, "fp16": 0.1}
"""Largest difference of a logit, in standard deviations of the network's logits. A graph with a fault differs by about 1."""
_MOST_BYTES = 2**31 - 2**20
"""Of an ONNX file, which is one message of protobuf."""


@dataclass(frozen=True)
class Agreement:
    """An exported file against its network, at one batch and size."""

    batch: int
    height: int
    width: int
    difference: float
    """The largest difference of a logit, in standard deviations of the network's logits. Of a graph that returns labels: by how
    much the network's logit of the label is below its largest."""
    equal: float
    """Share of the pixels with the same label, in [0, 1]."""


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    facts: Facts
    size_bytes: int
    agreements: tuple[Agreement, ...]


def export(
    model: SegmentationModel,
    path: str | os.PathLike[str],
    *,
    precision: str = "fp32",
    labels: bool = False,
    preprocessing: bool = False,
    opset: int | None = None,
    calibration: Sequence[np.ndarray] = (),
    data: Mapping[str, Any] | None = None,
    accept: Callable[[ExportedModel], object] = lambda exported: None,
) -> Exported:
    """Write `model` as ONNX (`path` ends with .onnx) or by torch.export (.pt2), for images of any number and size.

    The file is run at two batches and sizes, and compared with the network; it gets its name only if they agree. Of a file in
    int8 the difference is reported only.

    Args:
        precision: `fp32`; `fp16`; `int8`: ONNX Runtime's static quantisation of the convolutions, which needs `calibration`.
        labels: return class indices, uint8 (int64 of more than 256 classes), instead of float32 logits.
        preprocessing: take RGB images as uint8 (batch, height, width, channels), instead of normalised ones.
        opset: of ONNX, 18 to 23; 20 by default.
        calibration: images, uint8 (H, W, bands), whose activations set the ranges of int8.
        data: fingerprint of the training data, for the metadata.
        accept: is called with the file as a network before it gets its name; what it raises leaves no file.

    Raises:
        ValueError: a setting out of range, a package that is missing, a network that cannot be recorded, or one that the file
            does not agree with.
    """
    if not isinstance(model, SegmentationModel):
        raise ValueError(
            f"{type(model).__name__} is not exported; give the network of load_model or create_model itself"
        )
    path = Path(path)
    form = Form(precision=precision, labels=labels, preprocessing=preprocessing, opset=opset)
    form.check(path)
    if (precision == "int8") != bool(len(calibration)):
        raise ValueError("calibration images are for precision int8, which needs at least one")
    reference = copy.deepcopy(model).cpu().eval()
    facts = facts_of(reference, precision=precision, labels=labels, preprocessing=preprocessing, data=data)
    content = (_onnx if path.suffix == ".onnx" else _pt2)(reference, form, facts, calibration)
    with records.writing(path) as temporary:
        temporary.write_bytes(content)
        try:
            exported = load_exported(temporary, allow_modules=None)
            exported.path = path
            agreements = tuple(compare(exported, reference, batch_of(size, reference, calibration)) for size in SIZES)
        except ValueError as error:
            raise ValueError(f"{path} is not written: {str(error).replace(str(temporary), 'the file')}") from None
        _refuse_difference(path, agreements, TOLERANCE.get(precision))
        accept(exported)
    return Exported(path, facts, len(content), agreements)


def compare(exported: ExportedModel, network: SegmentationModel, images: Sequence[np.ndarray]) -> Agreement:
    """Both on images of one size, uint8 (H, W, bands)."""
    own, other = (
        torch.stack([to_tensor(image, Normalization.of(each)) for image in images]) for each in (network, exported)
    )
    with torch.no_grad():
        expected = network(own)
    if exported.facts.labels:
        labels = exported.labels(other).long()
        if labels.max() >= expected.shape[1]:
            raise ValueError(f"the graph returns the label {int(labels.max())} of {expected.shape[1]} classes")
        distance = expected.amax(1) - expected.gather(1, labels[:, None])[:, 0]
    else:
        logits = exported(other)
        labels, distance = logits.argmax(1), (logits - expected).abs()
    spread = max(expected.std().item(), 1e-12)
    equal = (labels == expected.argmax(1)).double().mean().item()
    height, width = own.shape[-2:]
    return Agreement(len(images), height, width, distance.max().item() / spread, equal)


def batch_of(
    size: tuple[int, int, int], network: SegmentationModel, images: Sequence[np.ndarray] = ()
) -> list[np.ndarray]:
    """Images of one size, uint8 (H, W, bands): random ones, or repeated and cut from `images`."""
    batch, height, width = size
    if not len(images):
        generator = np.random.default_rng(height)
        return list(generator.integers(0, 256, (batch, height, width, network.in_channels), dtype=np.uint8))
    chosen = [images[index % len(images)] for index in range(batch)]
    return [np.tile(i, (-(-height // i.shape[0]), -(-width // i.shape[1]), 1))[:height, :width] for i in chosen]


def _refuse_difference(path: Path, agreements: Sequence[Agreement], most: float | None) -> None:
    for each in agreements:
        if not each.difference <= (torch.inf if most is None else most):  # nan too
            advice = "; use fp32" if most == TOLERANCE["fp16"] else ""
            raise ValueError(
                f"{path} is not written: at {each.batch} x {each.height}x{each.width} pixels its logits differ from those of the "
                f"network by {each.difference:.2g} standard deviations, and at most {most or 0:g} are allowed{advice}"
            )


def _recorded(network: SegmentationModel, form: Form, path_kind: str) -> tuple[Recorded, torch.export.ExportedProgram]:
    """The module, and the program that torch.export records of it; no text or name of the sources' files is in it."""
    module = Recorded(network, form)
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(module, (module.sample(),), dynamic_shapes=(module.dynamic_axes(),))
    except Exception as error:  # of torch, and of a head or backbone of one's own
        raise ValueError(f"this network cannot be exported to {path_kind}: {integrity.one_line(error)}") from None
    for graph in program.graph_module.modules():  # those of regions with another autocast or gradient mode too
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return module, program


def _pt2(network: SegmentationModel, form: Form, facts: Facts, calibration: Sequence[np.ndarray]) -> bytes:
    _, program = _recorded(network, form, ".pt2")
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(program, buffer, extra_files={EXTRA: json.dumps(facts.to_strings())})
    return buffer.getvalue()


def _onnx(network: SegmentationModel, form: Form, facts: Facts, calibration: Sequence[np.ndarray]) -> bytes:
    from onnx import helper

    module, program = _recorded(network, form, "ONNX")
    stored = sum(tensor.nbytes for tensor in module.state_dict().values())
    if stored > _MOST_BYTES:
        raise ValueError(f"weights of {stored / 1e9:.1f} GB do not fit into an ONNX file (2 GB); use fp16 or a .pt2")
    opset = form.opset or DEFAULT_OPSET
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["labels" if form.labels else "logits"]}
    try:
        with _quiet(), torch.no_grad():
            written = torch.onnx.export(
                program, (module.sample(),), dynamo=True, verbose=False, opset_version=opset, **names
            )
            assert written is not None
            proto = written.model_proto
    except Exception as error:  # of torch, onnx and onnxscript
        raise ValueError(f"this network cannot be exported to ONNX: {integrity.one_line(error)}") from None
    if (written_as := next(each.version for each in proto.opset_import if each.domain == "")) != opset:
        raise ValueError(f"opset {opset} is not possible for this network; leave --opset out for {written_as}")
    _name_axes(proto, list(module.dynamic_axes()))
    if form.precision == "int8":
        with _quiet():
            proto = quantized(proto, calibration, Normalization.of(network), preprocessing=form.preprocessing)
    for node in proto.graph.node:
        del node.metadata_props[:]  # names of the sources' files
    helper.set_model_props(proto, facts.to_strings())
    proto.producer_name, proto.producer_version = "segattn", facts.segattn
    return proto.SerializeToString()


def _name_axes(proto: Any, axes: Sequence[int]) -> None:
    """Give the dynamic axes their names, in place of torch's symbols such as s34, wherever a shape has them."""
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    names = {dims[axis].dim_param: name for axis, name in zip(axes, ("batch", "height", "width"), strict=True)}
    symbols = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
    for info in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = symbols.sub(lambda match: names[match[0]], dim.dim_param)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporters print, log and warn of: what a user needs to know is compared afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
