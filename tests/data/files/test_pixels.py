"""Pixels that can be understood in two ways: each reading, what is said about them, and errors that name EXIF."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from segattn import cli, data
from segattn.data.files.decode import ImageFile, read_image
from segattn.data.files.pixels import Reading, reading
from segattn.data.splits import notices
from segattn.data.tools.check import check

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
TURNED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
    8: lambda x: np.rot90(x),
}
"""What a viewer shows of stored pixels, by EXIF orientation."""


def photo(path, pixels=PIXELS, orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **({"exif": exif} if orientation != 1 else {}))
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", TURNED)
def test_both_readings_of_an_orientation(suffix, orientation, tmp_path):
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(
        stream, suffix.replace("tif", "tiff"), exif=exif, **({"lossless": True} if suffix == "webp" else {})
    )
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(stream.getvalue())
    assert np.array_equal(read_image(path), TURNED[orientation](PIXELS))
    assert np.array_equal(read_image(path, Reading("ignore")), PIXELS)
    assert ImageFile(path).orientation == orientation


def sixteen_bit_png(values):
    """A PNG of 16-bit RGB, which Pillow does not write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("kind", ["grey.png", "grey.tif", "colour.png"])
def test_twelve_bits_in_sixteen(kind, tmp_path):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    if kind == "colour.png":
        (tmp_path / kind).write_bytes(sixteen_bit_png(np.stack([values, values[::-1], values.T], 2)))
        expected = np.stack([values, values[::-1], values.T], 2)
    else:
        Image.fromarray(values).save(tmp_path / kind)
        expected = values[:, :, None].repeat(3, 2)
    assert np.array_equal(read_image(tmp_path / kind), expected >> 8)  # nearly black, as before
    assert np.array_equal(read_image(tmp_path / kind, reading("turn", 4095)), expected >> 4)
    assert np.array_equal(
        read_image(tmp_path / kind, reading("turn", [1024, 2047])), np.clip(expected.astype(int) - 1024, 0, 1023) >> 2
    )
    assert ImageFile(tmp_path / kind).largest == 4095


def test_floating_point_values_need_a_range(tmp_path):
    Image.fromarray(np.linspace(0, 1000, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"no defined white level.*value_range"):
        read_image(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif", reading("turn", 1000))
    assert (image[0, 0, 0], image[-1, -1, 0]) == (0, 255)


@pytest.mark.parametrize("value", [0, -5, "white", [5, 5], [1, 2, 3], [9, 3], 0.5])
def test_range_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"value_range=.*give the values of black and white"):
        reading("turn", value)


def test_other_reading_of_exif_is_refused():
    with pytest.raises(ValueError, match="exif='upright'; give 'turn'"):
        reading("upright", None)


def folder(root, *, orientation=1, pixels=PIXELS, mask=None):
    for split in ("train", "val"):
        for number in range(2):
            photo(
                root / f"images/{split}/{number}.png",
                pixels ^ np.asarray(number + 2 * (split == "val"), pixels.dtype),
                orientation,
            )
            path = root / f"masks/{split}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PIXELS[:, :, 0] % 2 if mask is None else mask).save(path)
    (root / "classes.txt").write_text("background\nthing\n")
    return root


def opened(root, **options):
    dataset = data.load("folder", "train", root=root, **options)
    data.verify(dataset)
    return dataset


def test_turned_photos_are_remarked_in_training_and_check_and_read_as_asked(tmp_path):
    root = folder(tmp_path, orientation=3)
    dataset = opened(root)
    assert np.array_equal(dataset[0].image, PIXELS[::-1, ::-1])
    assert len(notices(dataset)) == 1
    assert "2 images have an EXIF orientation" in notices(dataset)[0]
    assert "exif=ignore" in notices(dataset)[0]
    remarks = check("folder", root=root, splits=["train", "val"]).remarks
    assert remarks["images turned by EXIF"].count == 2  # one a split
    asked = opened(root, exif="ignore")
    assert np.array_equal(asked[0].image, PIXELS)
    assert notices(asked) == []
    assert (
        "images turned by EXIF" not in check("folder", root=root, splits=["train"], options={"exif": "ignore"}).remarks
    )


def test_dark_sixteen_bit_images_are_remarked_and_read_as_asked(tmp_path):
    root = folder(tmp_path, pixels=PIXELS[:, :, 0].astype(np.uint16) * 16)
    (line,) = notices(opened(root))
    assert "of 65,535" in line
    assert "value_range=4095" in line
    assert "16-bit images with fewer bits" in check("folder", root=root, splits=["train"]).remarks
    asked = opened(root, value_range=4095)
    assert notices(asked) == []
    assert np.array_equal(asked[0].image[:, :, 0], PIXELS[:, :, 0])


def test_usual_images_get_no_remark(tmp_path):
    root = folder(tmp_path)
    assert notices(opened(root)) == []
    assert check("folder", root=root, splits=["train"]).remarks == {}


def test_size_error_names_exif_and_the_way_out(tmp_path, capsys):
    root = folder(tmp_path, orientation=6)
    with pytest.raises(
        ValueError, match=r"is 40x56 .* 56x40; .*EXIF orientation 6 says; as stored it has the mask's size.*exif=ignore"
    ):
        opened(root)
    assert opened(root, exif="ignore")[0].size == (40, 56)
    assert cli.main(["data", "check", "folder", "--data-root", str(root)]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "EXIF orientation 6" in printed
    command = [
        "data",
        "check",
        "folder",
        "--data-root",
        str(root),
        "--data-options",
        "exif=ignore",
        "--splits",
        "train",
        "val",
    ]
    assert cli.main(command) == 0
