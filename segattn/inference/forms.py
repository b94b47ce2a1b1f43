"""The forms in which one network can run on a machine: torch's, compiled, and graphs in other runtimes.

    eager           as it is
    optimized       batch norms folded into convolutions (`segattn.optimize`)
    channels-last   optimized, in the memory format that convolutions of many channels prefer
    inductor        optimized and compiled by torch.compile with frozen weights, for the size of its first images
    onnx            the graph of `segattn export`, in ONNX Runtime
    openvino        the same graph in OpenVINO, in fp32
    bf16            optimized, in bf16 and channels-last
    int8            the graph with convolutions in 8 bits, in ONNX Runtime

The first six compute the same logits but for rounding in fp32; bf16 and int8 round more.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segattn.inference.export.runtime import ExportedModel, load_exported
from segattn.inference.export.write import batch_of, export
from segattn.inference.optimized import OptimizedModel, optimize
from segattn.model import SegmentationModel
from segattn.profile.environment import fast_types

EXACT = ("eager", "optimized", "channels-last", "inductor", "onnx", "openvino")
"""Forms in fp32."""
FORMS = (*EXACT, "bf16", "int8")
GRAPHS = {"onnx": "fp32", "openvino": "fp32", "int8": "int8"}
"""Forms that run from a file of `segattn export`, and its precision."""
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_CALIBRATION = (8, 129, 257)  # random images, where no others are given


def missing(form: str, device: str = "cpu") -> str:
    """Why a form is not possible on this machine, in one line; empty if it is.

    >>> missing("optimized")
    ''

    Raises:
        ValueError: no such form.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r}; forms: {', '.join(FORMS)}")
    if form in GRAPHS:
        if not device.startswith("cpu"):
            return f"{form} is measured on the CPU only; use --device cpu"
        packages = (*_PACKAGES, "openvino") if form == "openvino" else _PACKAGES
        if absent := [name for name in packages if importlib.util.find_spec(name) is None]:
            installed = "openvino" if absent == ["openvino"] else "'segattn[export]'"
            return f"{form} needs {', '.join(absent)}: pip install {installed}"
    if form == "inductor" and device.startswith("cpu") and compiler() is None:
        return "inductor needs a C++ compiler, and there is none: install g++ or clang, or name yours in CXX"
    if form in ("bf16", "int8") and device.startswith("cpu") and not fast_types()[form]:
        needed = {"bf16": "AVX-512 BF16 or AMX", "int8": "VNNI or AMX"}[form]
        return f"{form} is not faster on this processor, which has no {needed}"
    return ""


def compiler() -> str | None:
    """The C++ compiler that torch.compile uses: CXX, g++ or clang++; None if there is none."""
    named = os.environ.get("CXX", "").split()
    return next((where for name in (*named[:1], "g++", "clang++") if (where := shutil.which(name))), None)


def build(model: SegmentationModel, form: str, folder: Path, calibration: Sequence[np.ndarray] = ()) -> nn.Module:
    """`model` in a form, in eval mode: images to logits of their size. Graphs are written into `folder`, which may go afterwards.

    `calibration`: uint8 images (H, W, bands) that set the ranges of int8; random ones by default, which tell nothing of accuracy.

    Raises:
        ValueError: no such form, or the network cannot have it.
    """
    if form not in GRAPHS:
        return of_network(model, form)
    file = folder / f"{GRAPHS[form]}.onnx"
    if not file.exists():
        write(model, form, file, calibration)
    return of_file(file, form)


def write(model: SegmentationModel, form: str, file: Path, calibration: Sequence[np.ndarray] = ()) -> None:
    """Write the graph of a form of `GRAPHS`; arguments and errors as of `build`."""
    precision = GRAPHS[form]
    images: Sequence[np.ndarray] = ()
    if precision == "int8":
        images = calibration if len(calibration) else batch_of(_CALIBRATION, model)
    export(model, file, precision=precision, calibration=images)


def of_file(file: str | Path, form: str) -> ExportedModel:
    """The network of a graph that `write` wrote."""
    model = load_exported(file, allow_modules=None)
    if form == "openvino":
        model.graph = _openvino(Path(file).read_bytes())
    return model


def of_network(model: SegmentationModel, form: str) -> nn.Module:
    """`model` in a form that torch runs; errors as of `build`."""
    if form == "eager":
        return model.eval()
    if form == "bf16":
        return optimize(model, dtype=torch.bfloat16)
    if form == "inductor":
        return _Compiled(optimize(model))
    if form not in ("optimized", "channels-last"):
        raise ValueError(f"unknown form {form!r}; forms: {', '.join(FORMS)}")
    return optimize(model, channels_last=form == "channels-last")


class _Compiled(OptimizedModel):
    """An optimized network whose logits torch.compile computes, with its weights as constants."""

    def __init__(self, plain: OptimizedModel) -> None:
        super().__init__(plain.network, plain.dtype, plain.layout)
        self.compiled = torch.compile(self.network.logits, dynamic=False)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        from torch._inductor import config

        with config.patch(freezing=True):
            return self.compiled(images.to(self.dtype)).float()


def _openvino(graph: bytes) -> Any:
    """A function that runs an ONNX graph in OpenVINO, in fp32 also where the processor has bf16, with torch's threads."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(core.read_model(graph), "CPU", settings)
    request = compiled.create_infer_request()

    def run(images: Tensor) -> Tensor:
        outputs = request.infer([np.ascontiguousarray(images.cpu().numpy())])
        return torch.from_numpy(outputs[compiled.output(0)].copy())

    return run
