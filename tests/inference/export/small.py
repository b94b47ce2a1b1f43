"""Exported files that are made in milliseconds: a graph written by hand, and a small .pt2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import segattn
from segattn.inference.export.facts import facts_of
from segattn.model import SegmentationModel
from tests.inference.test_optimized import trained_looking


def network(head: str = "fcn", **settings) -> SegmentationModel:
    """A network of 5 named classes."""
    model = trained_looking(head, **settings)
    model.class_names = ("road", "sky", "car", "tree", "wall")
    model.palette = tuple((20 * index, 30, 40) for index in range(5))
    return model


def handmade(path: Path, *, shape=("batch", 3, "height", "width"), metadata: bool = True, **form) -> np.ndarray:
    """An ONNX file of one 1x1 convolution to 5 classes, with ArgMax where `labels` is set; returns its weights (5, 3)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["images", "weight"], ["logits"])]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 5, shape[2], shape[3]])
    if form.get("labels"):
        nodes.append(helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0))
        nodes.append(helper.make_node("Cast", ["best"], ["labels"], to=TensorProto.UINT8))
        output = helper.make_tensor_value_info("labels", TensorProto.UINT8, [shape[0], shape[2], shape[3]])
    graph = helper.make_graph(
        nodes,
        "handmade",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(shape))],
        [output],
        [numpy_helper.from_array(weight[:, :, None, None], "weight")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if metadata:
        helper.set_model_props(proto, facts_of(network(), **form).to_strings())
    onnx.save(proto, path)
    return weight


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def expected(weight: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The labels of the handmade graph, computed without it."""
    model = segattn.create_model("fcn", num_classes=5, backbone="resnet18")
    normalised = (torch.from_numpy(image).double() / 255 - torch.tensor(model.mean)) / torch.tensor(model.std)
    return (normalised.numpy() @ weight.T.astype(np.float64)).argmax(-1)
