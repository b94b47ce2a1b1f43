"""Files as programs: whatever a file holds, no reader lets Pillow try a decoder that is not named."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segattn
from segattn import data
from segattn.data.files import decode
from segattn.data.tools.check import check
from segattn.demo import pictures
from segattn.inference.files import label_image
from segattn.maps.look import look
from segattn.records.pictures import FORMATS, open_picture, picture_size
from segattn.report.study.pictures import read_picture
from tests.places import ROOT

Image.init()
PIXELS = np.arange(40 * 48 * 3, dtype=np.uint32).reshape(40, 48, 3).astype(np.uint8)
OTHERS = sorted(set(Image.OPEN) - set(FORMATS))
MODES = {"SPIDER": "F", "MSP": "1", "XBM": "1", "BLP": "P"}
STARTS = {"DCX": b"\xb1\x68\xde\x3a", "FITS": b"SIMPLE", "PSD": b"8BPS", "SUN": b"\x59\xa6\x6a\x95", "XPM": b"/* XPM */",
          "CUR": b"\0\0\2\0", "FLI": bytes(4) + b"\x11\xaf", "GBR": bytes(3) + b"\x14" + bytes(3) + b"\1",
          "MPEG": b"\0\0\1\xb3", "PIXAR": b"\200\350\000\000", "XVTHUMB": b"P7 332", "FTEX": b"FTEX",
          "MCIDAS": b"\0\0\0\0\0\0\0\4", "IPTC": b"\x1c\x01", "BUFR": b"BUFR", "GRIB": b"GRIB\0\0\0\1",
          "HDF5": b"\x89HDF\r\n\x1a\n", "WMF": b"\xd7\xcd\xc6\x9a\0\0",
          "IMT": b"  width 8\n", "PCD": bytes(2048) + b"PCD_"}  # fmt: skip


def content_of(kind: str) -> bytes:
    """A file of the format: as Pillow writes it, or, where it only reads the format, what such files begin with."""
    if kind in STARTS:
        return STARTS[kind] + bytes(2000)
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(MODES.get(kind, "RGB")).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="module")
def model():
    return segattn.create_model(
        "fcn", num_classes=2, backbone="resnet18", head_options={"channels": 8}, backbone_options={"width": 8}
    ).eval()


def as_training_data(path: Path) -> None:
    root = path.parent / "set"
    for kind in ("images", "masks"):
        (root / kind / "train").mkdir(parents=True)
    (root / "classes.txt").write_text("a\nb\n")
    Image.fromarray(PIXELS[:, :, 0] % 2).save(root / "masks/train/0.png")
    (root / "images/train/0.png").write_bytes(path.read_bytes())
    assert check("folder", root=root, splits=["train"]).faults["unreadable images"].count == 1
    data.verify(data.load("folder", "train", root=root))


def in_report(path: Path) -> None:
    picture, problem = read_picture(path.parent, path.name)
    assert picture is None
    raise ValueError(f"{path}: {problem}")


READERS = {
    "image": lambda path, model: decode.read_image(path),
    "mask": lambda path, model: decode.read_label(path, 2),
    "training": lambda path, model: as_training_data(path),
    "prediction": lambda path, model: label_image(model, path),
    "maps": lambda path, model: look(model, path),
    "explorer": lambda path, model: pictures.upload(path, 512),
    "report": lambda path, model: in_report(path),
    "size": lambda path, model: picture_size(path),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("reader", READERS)
def test_no_other_format_is_tried(reader, kind, model, tmp_path, monkeypatch):
    path, tried = tmp_path / "photo.png", []
    path.write_bytes(content_of(kind))
    for other in OTHERS:  # each would take any file, if it were asked
        monkeypatch.setitem(Image.OPEN, other, (lambda *_: tried.append("decoder"), lambda start: True))
    with pytest.raises(ValueError, match="no picture|PostScript" if reader == "size" else "png") as error:
        READERS[reader](path, model)
    assert tried == []
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_named_formats_are_read_whatever_the_file_is_called(kind, tmp_path):
    (tmp_path / "photo.png").write_bytes(content_of(kind))
    assert decode.read_image(tmp_path / "photo.png").shape == (40, 48, 3)
    assert picture_size(tmp_path / "photo.png") == (48, 40)


@pytest.mark.parametrize("start", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"%!PS\n", b"\xc5\xd0\xd3\xc6"])
def test_postscript_is_named(start):
    with pytest.raises(ValueError, match="PostScript is a program, which is not run"):
        open_picture(start + bytes(100))


def calls_of_open(path: Path) -> list[ast.Call]:
    """Every `Image.open(...)` of a file."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Image.open")
    ]


def test_every_call_names_its_formats_and_the_package_has_one():
    files = [path for part in ("segattn", "benchmarks", "docs") for path in sorted((ROOT / part).rglob("*.py"))]
    calls = {path: calls_of_open(path) for path in files}
    assert [path.name for path in files if calls[path] and "segattn" in path.relative_to(ROOT).parts] == ["pictures.py"]
    for path, opened in calls.items():
        for call in opened:
            assert any(keyword.arg == "formats" for keyword in call.keywords), f"{path}, line {call.lineno}"
