"""8 bits: which processors need 7, and what stays of a convolution."""

import numpy as np
import pytest
import torch

from segattn.data.transforms import IMAGENET, to_tensor
from segattn.inference.export.quantize import quantized, saturates
from tests.inference.export.small import handmade, photo


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n", False),
        ("flags\t\t: avx512f avx512_vnni\n", False),
        ("flags\t\t: amx_tile amx_int8\n", False),
        ("Features\t: fp asimd asimddp\n", False),
        ("", True),
    ],
)
def test_products_overflow_where_neither_vnni_nor_amx_is(text, answer, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    assert saturates(tmp_path / "cpuinfo") is answer


def test_without_cpuinfo_the_safe_choice_is_taken(tmp_path):
    assert saturates(tmp_path / "nothing")


def test_a_convolution_in_8_bits_is_close_and_smaller_in_type(tmp_path):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    weight = handmade(tmp_path / "net.onnx")
    images = [photo(23, 31), photo(40, 17)]
    graph = quantized(onnx.load(tmp_path / "net.onnx"), images, IMAGENET, preprocessing=False)
    scales = [each for each in graph.graph.initializer if each.name == "weight_scale"]
    assert list(scales[0].dims) == [5]  # one for each output channel
    assert any(each.data_type == onnx.TensorProto.INT8 for each in graph.graph.initializer)
    x = to_tensor(images[0])[None]
    logits = runtime.InferenceSession(graph.SerializeToString()).run(None, {"images": x.numpy()})[0]
    exact = torch.einsum("kc,bchw->bkhw", torch.from_numpy(weight), x).numpy()
    assert 0 < np.abs(logits - exact).max() < 0.05 * exact.std()  # 1/255 of the range, and weights to 1/127
