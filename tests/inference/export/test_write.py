"""Networks written as files, against the networks, at batches and sizes that they were not recorded with.

The default run has a sample of the heads; `make test-all` has all of them in both formats.
"""

import io
import zipfile

import numpy as np
import pytest
import torch

from segattn import heads
from segattn.config import Evaluation
from segattn.inference.export import archive, load_exported, write
from segattn.inference.export.write import Agreement, batch_of, compare, export
from segattn.inference.windows import predict_labels
from tests.inference.export.small import network

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

OTHERS = ((1, 70, 101), (2, 209, 217))


@pytest.mark.slow
@pytest.mark.long("ccnet")
@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
@pytest.mark.parametrize("head", heads.names())
def test_a_file_agrees_with_its_network_at_other_batches_and_sizes(head, suffix, tmp_path):
    model, path = network(head), tmp_path / f"{head}.{suffix}"
    written = export(model, path)
    assert [path] == list(tmp_path.iterdir())
    assert written.size_bytes == path.stat().st_size
    exported = load_exported(path)
    assert (exported.class_names, exported.palette) == (model.class_names, model.palette)
    for size in OTHERS:  # rounding, which random weights amplify most in ISANet; a wrong graph is off by 1
        agreement = compare(exported, model, batch_of(size, model))
        assert agreement.difference < 5e-3, size
        assert agreement.equal > 0.999, size
    assert b"/torch/" not in path.read_bytes()  # no names of this machine's folders


@pytest.mark.slow
def test_labels_half_precision_and_8_bit_images_inside(tmp_path):
    onnx = pytest.importorskip("onnx")
    model, path = network("fcn"), tmp_path / "net.onnx"
    model.channel_order = "bgr"
    export(model, path, precision="fp16", labels=True, preprocessing=True, opset=18)
    proto = onnx.load(path)
    (images,), (labels,) = proto.graph.input, proto.graph.output
    assert [dim.dim_param or dim.dim_value for dim in images.type.tensor_type.shape.dim] == [
        "batch",
        "height",
        "width",
        3,
    ]
    assert images.type.tensor_type.elem_type == labels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_param for dim in labels.type.tensor_type.shape.dim] == ["batch", "height", "width"]
    assert [each.version for each in proto.opset_import if not each.domain] == [18]
    exported = load_exported(path)
    assert exported.facts.channel_order == "bgr"
    agreement = compare(exported, model, batch_of((2, 71, 53), model))
    assert agreement.equal > 0.98
    x = torch.rand(1, 3, 41, 57)
    assert predict_labels(exported, x, inference=Evaluation()).shape == (1, 41, 57)


@pytest.fixture(scope="module")
def pt2():
    """The bytes of a .pt2 file."""
    model, form = network("fcn"), write.Form()
    return write._pt2(model, form, write.facts_of(model), ())


def test_a_file_that_differs_or_is_not_accepted_is_not_written(pt2, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_pt2", lambda *_: pt2)
    with pytest.raises(ValueError, match=r"other\.pt2 is not written: at 1 x 97x161 pixels its logits differ"):
        export(network("ccnet"), tmp_path / "other.pt2")

    def refuse(exported):
        raise ValueError(f"{exported.path.name} is too slow")

    with pytest.raises(ValueError, match=r"net\.pt2 is too slow"):
        export(network("fcn"), tmp_path / "net.pt2", accept=refuse)
    monkeypatch.setattr(write, "compare", lambda *_: Agreement(1, 2, 3, float("nan"), 0.0))
    with pytest.raises(ValueError, match="differ from those of the network by nan"):
        export(network("fcn"), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_what_is_exported_and_how_is_checked_first(tmp_path):
    with pytest.raises(ValueError, match="Linear is not exported; give the network of load_model"):
        export(torch.nn.Linear(2, 3), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="calibration images are for precision int8"):
        export(network(), tmp_path / "net.onnx", precision="int8")
    with pytest.raises(ValueError, match="calibration images are for precision int8"):
        export(network(), tmp_path / "net.onnx", calibration=[np.zeros((5, 7, 3), np.uint8)])


# What a .pt2 may hold ---------------------------------------------------------------------------------------------------
class Opener:
    """Opens a file when it is unpickled."""

    def __reduce__(self):
        return open, (self.path, "w")


def changed(content, member, change):
    """The archive with one member changed or added."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as copy:
        root = source.namelist()[0].partition("/")[0]
        names = dict.fromkeys([*source.namelist(), f"{root}/{member}"])
        for name in names:
            old = source.read(name) if name in source.namelist() else b""
            copy.writestr(name, change(old) if name == f"{root}/{member}" else old)
    return target.getvalue()


def test_a_copy_of_an_archive_is_read(pt2):
    program, facts = archive.read(changed(pt2, "byteorder", lambda old: old))
    assert facts["precision"] == '"fp32"'
    assert program.module()(torch.zeros(1, 3, 41, 57)).shape == (1, 5, 41, 57)


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        ("models/model.json", lambda old: old.replace(b"torch.ops.aten.relu_.default", b"torch.hub.load"), "it calls"),
        (
            "models/model.json",
            lambda old: old.replace(b'"expr_str": "', b'"expr_str": "__import__(1) + ', 1),
            "an expression in it is no size",
        ),
        ("data/constants/opaque_obj_0", lambda old: b"x", "it has the member data/constants/opaque_obj_0"),
        ("data/aotinductor/model/a.so", lambda old: b"x", "it has the member data/aotinductor"),
        (
            "data/weights/model_weights_config.json",
            lambda old: old.replace(b'"use_pickle": false', b'"use_pickle": true', 1),
            "a tensor in it is pickled",
        ),
        ("models/model.json", lambda old: old[:100], "not a file that segattn wrote"),
    ],
)
def test_an_archive_that_would_run_code_is_refused(pt2, member, change, message):
    damaged = changed(pt2, member, change)
    assert changed(pt2, "byteorder", lambda old: old) != damaged
    with pytest.raises(ValueError, match=message):
        archive.read(damaged)


def test_pickled_sample_inputs_are_not_opened(pt2, tmp_path):
    opener, buffer = Opener(), io.BytesIO()
    opener.path = str(tmp_path / "opened")
    torch.save(((opener,), {}), buffer)
    with pytest.raises(ValueError, match="not a file that segattn wrote"):
        archive.read(changed(pt2, "data/sample_inputs/model.pt", lambda old: buffer.getvalue()))
    assert not (tmp_path / "opened").exists()


def test_truncated_and_other_archives_are_named(pt2, tmp_path):
    path = tmp_path / "net.pt2"
    for content in (pt2[: len(pt2) // 2], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net\.pt2: not a readable \.pt2 file; it may be truncated"):
            load_exported(path)
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(3),)), path)
    with pytest.raises(ValueError, match=r"net\.pt2: no metadata of segattn"):
        load_exported(path)
