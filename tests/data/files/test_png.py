"""The part of a PNG that a crop needs, with and without the extra `fast`; and pixels that are not all there."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from segattn.config import Augmentation
from segattn.data import streets
from segattn.data.files import png
from segattn.data.files.decode import ImageFile, read_image, read_label
from segattn.data.files.pairs import PairReader, find_pairs
from segattn.data.transforms import augment

SCENE = streets.load("val", height=67, width=97)[3]
LABEL = np.where(SCENE.label < 19, SCENE.label, 255).astype(np.uint8)


def encoded(array, kind="PNG"):
    content = io.BytesIO()
    Image.fromarray(array).save(content, kind)
    return content.getvalue()


def chunk(kind, content):
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


@pytest.fixture(params=["fast", "Pillow"])
def decoder(request, monkeypatch):
    """With and without the extra `fast`."""
    if request.param == "Pillow":
        monkeypatch.setattr(png, "pyspng", None)
    elif png.pyspng is None:
        pytest.skip("isal and pyspng are not installed")
    return request.param


def test_the_top_left_part_is_that_of_the_whole(decoder, tmp_path):
    for name, content in {"a.png": encoded(SCENE.image), "a.jpg": encoded(SCENE.image, "JPEG")}.items():
        (tmp_path / name).write_bytes(content)
        whole = read_image(tmp_path / name)
        for rows, columns in itertools.product((1, 31, 67, 1000), (1, 53, 97, 1000)):
            part = np.asarray(ImageFile(tmp_path / name).top_left(rows, columns))
            assert len(part) >= min(rows, 67)
            assert part.shape[1] >= min(columns, 97)
            assert np.array_equal(part, whole[: part.shape[0], : part.shape[1]])
    part = np.asarray(ImageFile(tmp_path / "a.png").top_left(31, 53))
    assert part.shape == ((31, 53, 3) if decoder == "fast" else (31, 97, 3))  # nothing more was decoded


@pytest.mark.parametrize("kind", range(5), ids=["none", "sub", "up", "average", "paeth"])
def test_every_filter_of_png_is_undone(decoder, kind, tmp_path):
    (tmp_path / "a.png").write_bytes(filtered_png(SCENE.image, kind))
    assert np.array_equal(read_image(tmp_path / "a.png"), SCENE.image)
    part = np.asarray(ImageFile(tmp_path / "a.png").top_left(29, 41))[:29, :41]
    assert np.array_equal(part, SCENE.image[:29, :41])


def filtered_png(image, kind):
    """A PNG whose rows all have one filter, byte by byte from the definition."""
    rows = np.pad(image.astype(int).reshape(len(image), -1), ((1, 0), (3, 0)))  # zeros above and to the left
    here, left, above, corner = rows[1:, 3:], rows[1:, :-3], rows[:-1, 3:], rows[:-1, :-3]
    estimate = left + above - corner
    distances = [np.abs(estimate - one) for one in (left, above, corner)]
    paeth = np.choose(np.argmin(distances, axis=0), [left, above, corner])
    predicted = [0, left, above, (left + above) // 2, paeth][kind]
    lines = ((here - predicted) % 256).astype(np.uint8)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 0)
    stream = zlib.compress(b"".join(bytes([kind]) + line.tobytes() for line in lines))
    half = len(stream) // 2
    chunks = [(b"IHDR", header), (b"IDAT", stream[:half]), (b"IDAT", stream[half:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def test_pixels_that_end_too_soon_or_with_an_unknown_filter_are_refused(decoder, tmp_path):
    header = struct.pack(">IIBBBBB", 5, 7, 8, 2, 0, 0, 0)
    for row, count in ((b"\0" + bytes(15), 6), (b"\7" + bytes(15), 7)):
        stream = zlib.compress(row * count)
        content = chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
        with pytest.raises(ValueError, match=r"a\.png: unreadable image"):
            read_image(tmp_path / "a.png")


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("colour", "depth", "row"), [(0, 8, 5), (0, 1, 1), (3, 4, 3), (2, 16, 30)])
def test_rows_that_are_missing_are_not_taken_for_class_0(colour, depth, row, interlaced, tmp_path):
    header = struct.pack(">IIBBBBB", 5, 7, depth, colour, 0, 0, interlaced)
    lines = (b"\0" + b"\x11" * row) * 6
    palette = chunk(b"PLTE", bytes(48)) if colour == 3 else b""
    content = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(ValueError, match=r"m\.png: unreadable \w+ \("):
        (read_image if colour == 2 else lambda path: read_label(path, 19))(tmp_path / "m.png")


def test_last_row_of_class_0_is_read(tmp_path):
    label = np.zeros((7, 5), np.uint8)
    for form in ("L", "1", "P"):
        Image.fromarray(label).convert(form).save(tmp_path / "m.png")
        assert np.array_equal(read_label(tmp_path / "m.png", 19), label)


def test_very_wide_pictures_go_another_way(decoder, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (2, 22_000, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "wide.png")
    assert np.array_equal(read_image(tmp_path / "wide.png"), image)


def test_a_crop_of_a_file_is_that_of_the_whole_image(decoder, tmp_path):
    for part, array in (("i", SCENE.image), ("m", LABEL)):
        (tmp_path / part).mkdir()
        Image.fromarray(array).save(tmp_path / part / "a.png")
    reader = PairReader(find_pairs(tmp_path / "i", tmp_path / "m"), 19)
    for seed in range(23):
        crop = Augmentation(crop_size=(31, 37))
        whole = augment(reader(0), np.random.default_rng(seed), crop)
        lazy = augment(reader.lazily(0), np.random.default_rng(seed), crop)
        assert np.array_equal(whole[0], lazy[0])
        assert np.array_equal(whole[1], lazy[1])
