"""What can be exported how."""

import pytest

from segattn.inference.export.form import Form


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "bf16"}, "precision 'bf16' is not known; use fp32, fp16, int8"),
        ({"opset": 9}, "opset 9 is not possible; use 18 to 23"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Form(**settings)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("net.tflite", {}, r"ends with \.onnx or \.pt2"),
        ("net", {}, r"ends with \.onnx or \.pt2"),
        ("net.pt2", {"precision": "int8"}, r"int8 is for ONNX; give a name that ends with \.onnx, or use fp16"),
        ("net.pt2", {"opset": 20}, "an opset is for ONNX"),
    ],
)
def test_a_name_says_the_format(name, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Form(**settings).check(tmp_path / name)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(ValueError, match="is a folder; give the name of a file"):
        Form().check(tmp_path / "net.onnx")


def test_missing_packages_are_named_with_their_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ValueError, match=r"export to ONNX needs onnxscript: pip install 'segattn\[export\]'"):
        Form().check(tmp_path / "net.onnx")
