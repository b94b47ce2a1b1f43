"""Bad files: each one is read correctly or refused with its name; none is silently wrong, none hangs."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from segattn.data import streets
from segattn.data.files.decode import ImageFile, ranges, read_image, read_label
from segattn.data.files.pairs import find_pairs
from segattn.records.pictures import most_pixels

SCENE = streets.load("val", height=67, width=97)[3]
LABEL = np.where(SCENE.label < 19, SCENE.label, 255).astype(np.uint8)
pytestmark = pytest.mark.timeout(60)  # what hangs is a failure


def encoded(array, kind="PNG", **options):
    content = io.BytesIO()
    Image.fromarray(array).save(content, kind, **options)
    return content.getvalue()


def mutations(content, count, seed):
    """Truncated, bytes changed, stretches zeroed, bytes taken out or put in, two blocks swapped."""
    generator = np.random.default_rng(seed)
    for trial in range(count):
        damaged = bytearray(content)
        a, b = sorted(int(place) for place in generator.integers(1, len(content), 2))
        kind = trial % 6
        if kind == 0:
            del damaged[a:]
        elif kind == 1:
            damaged[a] ^= 1 << int(generator.integers(8))
        elif kind == 2:
            for place in generator.integers(0, len(content), 5):
                damaged[place] = int(generator.integers(256))
        elif kind == 3:
            damaged[a : a + 7] = bytes(7)
        elif kind == 4:
            del damaged[a : a + 3]
        else:
            damaged[a:a] = content[b : b + 11]
        if damaged != content:
            yield bytes(damaged)


def outcome(read, path):
    """What was read, or the text of the ValueError; any other error is a failure."""
    try:
        return read(path)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_damaged_png_is_refused_or_gives_the_very_pixels(tmp_path, seed):
    path = tmp_path / "a.png"
    refused = 0
    for damaged in mutations(encoded(SCENE.image), 300, seed):
        path.write_bytes(damaged)
        result = outcome(read_image, path)
        if isinstance(result, str):
            assert str(path) in result
            refused += 1
        else:
            assert np.array_equal(result, SCENE.image)
    assert refused > 280


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_a_damaged_mask_is_refused_or_gives_the_very_labels(tmp_path, mode):
    stored = {"1": LABEL < 3, "I;16": LABEL.astype(np.uint16)}.get(mode, LABEL)
    mask = Image.fromarray(stored)
    if mode == "P":
        mask.putpalette(list(range(256)) * 3)
    content = io.BytesIO()
    mask.save(content, "PNG")
    path, refused = tmp_path / "m.png", 0
    for damaged in mutations(content.getvalue(), 120, 7):
        path.write_bytes(damaged)
        result = outcome(lambda path: read_label(path, 19), path)
        if isinstance(result, str):
            assert str(path) in result
            refused += 1
        else:
            assert np.array_equal(result, stored)
    assert refused > 110


@pytest.mark.parametrize("progressive", [False, True])
def test_a_damaged_jpeg_is_refused_or_gives_a_picture_of_its_size(tmp_path, progressive):
    # A JPEG carries no checksum: bits of the coefficients may change unseen. What is missing may not.
    path = tmp_path / "a.jpg"
    refused = 0
    for damaged in mutations(encoded(SCENE.image, "JPEG", quality=92, progressive=progressive), 300, 3):
        path.write_bytes(damaged)
        result = outcome(read_image, path)
        if isinstance(result, str):
            assert str(path) in result
            refused += 1
        else:
            assert result.dtype == np.uint8
            assert result.ndim == 3
    assert refused > 60


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", range(0, 100, 9))
def test_a_truncated_file_is_refused(tmp_path, kind, share):
    content = encoded(SCENE.image, kind)
    path = tmp_path / "a.bin"
    path.write_bytes(content[: len(content) * share // 100])
    with pytest.raises(ValueError, match=r"a\.bin: unreadable image"):
        read_image(path)


def test_a_jpeg_whose_scan_breaks_off_is_refused(tmp_path):
    content = encoded(SCENE.image, "JPEG")
    middle = len(content) * 2 // 3
    for marker in (b"\xff\xc4", b"\xff\xc0", b"\xff\xd8", b"\xff\x30"):
        (tmp_path / "a.jpg").write_bytes(content[:middle] + marker + content[middle + 2 :])
        with pytest.raises(ValueError, match=r"a\.jpg: unreadable image"):
            read_image(tmp_path / "a.jpg")


def test_flipped_bits_that_pillow_reads_as_another_mask_are_refused(tmp_path):
    content = encoded(LABEL)
    path, unnoticed = tmp_path / "m.png", 0
    for place in range(content.index(b"IDAT") + 4, len(content) - 16):
        damaged = bytearray(content)
        damaged[place] ^= 1
        try:
            silently_wrong = not np.array_equal(np.asarray(Image.open(io.BytesIO(damaged))), LABEL)
        except (OSError, SyntaxError, ValueError):
            continue
        unnoticed += silently_wrong
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"m\.png: unreadable mask \(damaged: wrong checksum of the PNG chunk at byte"
        ):
            read_label(path, 19)
    assert unnoticed > 10  # without the checksums these would have trained


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_png_of_too_little_data_is_refused_though_its_checksums_hold(tmp_path):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 97, 67, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(97 * 3 * 20))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png: unreadable image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1)])
def test_absurd_sizes_are_refused_before_anything_is_decoded(tmp_path, size):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb\.png: unreadable image"):
        read_image(tmp_path / "bomb.png")


def test_a_text_that_inflates_to_megabytes_is_refused(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 80_000_000, zip=True)
    Image.fromarray(LABEL).save(tmp_path / "m.png", pnginfo=info)
    with pytest.raises(ValueError, match=r"m\.png: unreadable mask"):
        read_label(tmp_path / "m.png", 19)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "empty.png").touch()
    for name, reason in {
        "pipe": "not a regular file",
        "folder": "not a regular file",
        "self": "unreadable image|no such image",
        "gone": "no such image",
        "empty": "the file is empty",
    }.items():
        with pytest.raises(ValueError, match=rf"{name}\.png: .*({reason})"):
            read_image(tmp_path / f"{name}.png")


def test_links_between_folders_end(tmp_path):
    for part in ("i/a", "i/b"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "i/a/to_b").symlink_to(tmp_path / "i/b", target_is_directory=True)
    (tmp_path / "i/b/to_a").symlink_to(tmp_path / "i/a", target_is_directory=True)
    Image.fromarray(SCENE.image).save(tmp_path / "i/a/x.png")
    assert [pair.name.rsplit("/", 1)[-1] for pair in find_pairs(tmp_path / "i", None)] == ["x"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_turned_photo_is_read_upright_in_all_eight_ways(tmp_path, orientation, kind):
    stored = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x),
        7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation](SCENE.image)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{kind}", exif=exif, **JPEG[kind])
    image = read_image(tmp_path / f"a.{kind}")
    assert image.shape == SCENE.image.shape
    assert np.abs(image.astype(int) - SCENE.image).mean() < (0.001 if kind == "png" else 4)
    assert ImageFile(tmp_path / f"a.{kind}").size == (67, 97)


JPEG = {"png": {}, "jpg": {"quality": 95, "subsampling": 0}}


@pytest.mark.parametrize("name", ["grey.png", "palette.png", "wide.png", "alpha.png", "interlaced.png", "cmyk.jpg"])
def test_uncommon_pictures_are_read_whole(tmp_path, name):
    picture = Image.fromarray(SCENE.image)
    forms = {
        "grey.png": lambda: picture.convert("L"),
        "palette.png": lambda: picture.quantize(256),
        "wide.png": lambda: Image.fromarray(SCENE.image[:, :, 0].astype(np.uint16) * 256),
        "alpha.png": lambda: picture.convert("RGBA"),
        "cmyk.jpg": lambda: picture.convert("CMYK"),
    }
    form = forms.get(name, lambda: picture)()
    form.save(tmp_path / name, **({"quality": 95} if name.endswith("jpg") else {}))
    if name == "interlaced.png":
        (tmp_path / name).write_bytes(interlaced(SCENE.image))
    image = read_image(tmp_path / name)
    expected = SCENE.image if name not in ("grey.png", "wide.png") else None
    assert image.shape == (67, 97, 3)
    if expected is not None:
        assert np.abs(image.astype(int) - expected).mean() < (4 if name in ("palette.png", "cmyk.jpg") else 0.001)
    else:
        assert np.array_equal(image[:, :, 0], image[:, :, 2])


def interlaced(image):
    """A PNG in the seven passes of Adam7, written from its definition."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [image[top::down, left::right] for top, left, down, right in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts for row in part if part.size)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 1)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_picture_of_several_frames_is_refused(tmp_path):
    frames = [Image.fromarray(LABEL), Image.fromarray(LABEL[::-1].copy())]
    frames[0].save(tmp_path / "m.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"m\.tif: unreadable mask \(it holds 2 pictures"):
        read_label(tmp_path / "m.tif", 19)


def test_ranges_are_written_short():
    assert ranges(dict.fromkeys([0, 1, 2, 5, 7, 8, 255])) == "0 to 2, 5, 7 to 8"


def test_limit_of_pixels_replaces_pillows_and_ends_with_the_context(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (30, 10)).save(tmp_path / "large.png")
    Image.new("RGB", (30, 10)).save(tmp_path / "large.jpg")
    for path in (tmp_path / "large.png", tmp_path / "large.jpg"):
        with pytest.raises(ValueError, match=r"large\.(png|jpg): unreadable image .*300 pixels.*a larger --max-pixels"):
            read_image(path)
        with most_pixels(300):
            assert read_image(path).shape == (10, 30, 3)
        with most_pixels(299), pytest.raises(ValueError, match="--max-pixels"):
            read_image(path)
        with most_pixels(None), pytest.raises(ValueError, match="--max-pixels"):
            read_image(path)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_limit_of_no_pixel_is_refused():
    with pytest.raises(ValueError, match="--max-pixels is 0"), most_pixels(0):
        pass
