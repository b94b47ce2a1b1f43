"""Exported files as networks: what they take, what they refuse, and how they say so."""

import numpy as np
import pytest
import torch

import segattn
from segattn.config import Evaluation
from segattn.inference.export import is_exported, load_exported
from tests.inference.export.small import expected, handmade, photo

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("labels", [False, True])
def test_a_graph_labels_photos_of_any_size_as_its_equation_says(labels, tmp_path):
    weight = handmade(tmp_path / "my net.onnx", labels=labels)
    for size in [(37, 53), (1, 7)]:
        result = segattn.predict(tmp_path / "my net.onnx", photo(*size), device="cpu")
        np.testing.assert_array_equal(result.labels, expected(weight, photo(*size)))
        assert result.labels.dtype == np.uint8
        assert result.class_names[1] == "sky"
        assert result.palette[2] == (40, 30, 40)


def test_threads_of_the_runtime_do_not_wait_busily_after_a_pass(tmp_path, monkeypatch):
    import onnxruntime

    handmade(tmp_path / "net.onnx")
    opened = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *words, **more: opened.append(session(*words, **more)) or opened[-1]
    )
    load_exported(tmp_path / "net.onnx")
    options = opened[0].get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_windows_flip_and_scales_work_with_logits(tmp_path):
    weight = handmade(tmp_path / "net.onnx")
    image = photo(37, 53)
    result = segattn.predict(
        str(tmp_path / "net.onnx"), image, mode="slide", crop_size=(16, 24), flip=True, device="cpu"
    )
    np.testing.assert_array_equal(result.labels, expected(weight, image))  # each pixel for itself, in every window
    np.testing.assert_allclose(result.probabilities().sum(0), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"mode": "slide", "crop_size": (16, 24)}, "a sliding window"),
        ({"flip": True, "scales": (0.5, 1.0)}, "flip and other scales"),
    ],
)
def test_labels_are_refused_where_logits_are_averaged(settings, named, tmp_path):
    handmade(tmp_path / "net.onnx", labels=True)
    model = load_exported(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=rf"net\.onnx returns labels, and {named} need logits; .* without --labels"):
        model.check(Evaluation(**settings))
    with pytest.raises(ValueError, match="returns labels, and class scores need logits"):
        segattn.predict(model, photo(37, 53), **settings)
    with pytest.raises(ValueError, match="class scores need logits"):
        segattn.predict(model, photo(37, 53)).probabilities()
    model.check(Evaluation())


def test_a_fixed_size_is_named_and_a_batch_of_one_is_run_one_by_one(tmp_path):
    weight = handmade(tmp_path / "net.onnx", shape=(1, 3, 16, 24))
    model = load_exported(tmp_path / "net.onnx")
    images = torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        model(images), torch.einsum("kc,bchw->bkhw", torch.from_numpy(weight), images), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match=r"takes images of 16x24 \(height x width\) only, not 37x53: use --mode slide"):
        model(torch.zeros(1, 3, 37, 53))
    result = segattn.predict(model, photo(37, 53), mode="slide", crop_size=(16, 24))
    np.testing.assert_array_equal(result.labels, expected(weight, photo(37, 53)))


def test_files_of_other_tools_and_damaged_ones_are_named(tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(ValueError, match=r"net\.onnx: no such file; segattn export RUN -o"):
        load_exported(path)
    handmade(path, metadata=False)
    with pytest.raises(ValueError, match=r"no metadata of segattn .* written by another tool"):
        load_exported(path)
    handmade(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no graph at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net\.onnx: not a readable ONNX file, it may be truncated") as error:
            load_exported(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"ends with \.onnx or \.pt2"):
        load_exported(tmp_path / "net.txt")


def test_damaged_metadata_is_named(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    for name, value in {"palette": "[[1, 2]]", "mean": "[0.5]", "classes": "[", "format": "7"}.items():
        handmade(path)
        proto = onnx.load(path)
        for entry in proto.metadata_props:
            if entry.key == name:
                entry.value = value
        onnx.save(proto, path)
        with pytest.raises(ValueError, match=r"net\.onnx: its metadata cannot be read"):
            load_exported(path)


def test_it_is_for_inference_on_devices_that_exist(tmp_path):
    handmade(tmp_path / "net.onnx")
    model = load_exported(tmp_path / "net.onnx", device="cpu")
    with pytest.raises(ValueError, match="cannot be trained"):
        model.train()
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch sees no GPU"):
            load_exported(tmp_path / "net.onnx", device="cuda")
        assert load_exported(tmp_path / "net.onnx", device="auto").device_holder.device.type == "cpu"


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    handmade(tmp_path / "net.onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"net\.onnx needs onnxruntime: pip install 'segattn\[export\]'"):
        load_exported(tmp_path / "net.onnx")


def test_what_names_an_exported_file(tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    assert is_exported("net.onnx")
    assert is_exported(tmp_path / "net.pt2")
    assert not is_exported(tmp_path / "folder.onnx")
    assert not is_exported("runs/quick")
    assert not is_exported(3)
