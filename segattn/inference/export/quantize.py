"""A graph in 8 bits: ONNX Runtime's static quantisation of its convolutions, with ranges from calibration images."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segattn.data.transforms import Normalization, to_tensor
from segattn.profile.environment import instructions

_OPERATORS = ["Conv"]
_WITHOUT_SATURATION = {"avx512_vnni", "avx_vnni", "amx_int8"}


def quantized(graph: Any, images: Sequence[np.ndarray], normalization: Normalization, *, preprocessing: bool) -> Any:
    """The ONNX model `graph` with convolutions in 8 bits: weights per channel, activations as the images' smallest and largest.

    Everything else stays in float32: attention is where 8 bits cost accuracy, and convolutions are where they save time.

    Args:
        images: uint8 (H, W, bands), of any sizes.
        preprocessing: the graph takes such images; otherwise they are normalised first.
    """
    import onnx
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(graph, source)
        quantization.quantize_static(
            source,
            target,
            _reader(images, normalization, preprocessing=preprocessing),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            reduce_range=saturates(),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(target)


def saturates(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> bool:
    """Whether 8-bit products overflow 16 bits on this processor: x86 without VNNI and AMX, where weights need 7 bits.

    True where the system does not report the processor's instructions, which is the safe choice.
    """
    family, present = instructions(cpuinfo)
    return family != "ARM" and not present & _WITHOUT_SATURATION  # ARM accumulates in 32 bits


def _reader(images: Sequence[np.ndarray], normalization: Normalization, *, preprocessing: bool) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.left, None)
            if image is None:
                return None
            return {"images": image[None] if preprocessing else to_tensor(image, normalization)[None].numpy()}

    return Reader()
