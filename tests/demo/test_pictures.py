import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segattn import config
from segattn.demo import pictures


def saved(path, height, width, **options):
    colours = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(colours).save(path, **options)
    return path


def test_upload_is_scaled_down_and_never_up(tmp_path):
    assert pictures.upload(saved(tmp_path / "a.png", 300, 700), 512).size == (219, 512)
    assert pictures.upload(saved(tmp_path / "b.jpg", 40, 50), 512).size == (40, 50)


@pytest.mark.parametrize(("bands", "expected"), [(["_a.png", "_b.png"], 2), ([2, 1], (2, 1))])
def test_upload_holds_all_bands_also_where_training_images_had_several_files(bands, expected, tmp_path):
    network = SimpleNamespace(
        in_channels=2, experiment=SimpleNamespace(data=config.Data(name="folder", options={"bands": bands}))
    )
    how = pictures.reading_of_uploads(network)
    assert how.bands == expected
    values = np.random.default_rng(0).integers(0, 256, (40, 50, 2), np.uint8)
    np.save(tmp_path / "a.npy", values)
    image = pictures.upload(tmp_path / "a.npy", 512, how=how).image
    assert np.array_equal(image, values if expected == 2 else values[:, :, ::-1])


def test_upload_stands_upright_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert pictures.upload(saved(tmp_path / "a.jpg", 40, 70, exif=exif), 512).size == (70, 40)


def png_that_claims(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bad.png: unreadable image"),
        (b"hello, I am a picture", "damaged, or no picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "damaged, or no picture"),
        (png_that_claims(8000, 8000), "bad.png: 8000 x 8000 pixels; at most 40 million are read"),
        (png_that_claims(60000, 60000), "bad.png: far too many pixels"),
        (png_that_claims(64, 64)[:-20], "bad.png: unreadable image .truncated"),
    ],
)
def test_bad_file_is_refused_by_its_name_and_not_by_its_place(tmp_path, content, message):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as refused:
        pictures.upload(path, 512)
    assert str(tmp_path) not in str(refused.value)


def test_large_file_is_not_even_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_FILE_BYTES", 2**20)
    monkeypatch.setattr(pictures, "read_image", None)
    with open(tmp_path / "big.png", "wb") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(ValueError, match=r"^big.png: larger than 1 MB"):
        pictures.upload(tmp_path / "big.png", 512)


@pytest.mark.parametrize("size", [(31, 60), (60, 31), (1, 1)])
def test_tiny_picture_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match="needs at least 32 on each side"):
        pictures.upload(saved(tmp_path / "a.png", *size), 512)


def test_transparent_picture_is_composed_on_white(tmp_path):
    picture = Image.new("RGBA", (50, 40), (1, 2, 3, 0))
    picture.paste((200, 100, 0, 255), (0, 0, 10, 40))
    picture.putpixel((30, 7), (0, 100, 200, 128))
    picture.save(tmp_path / "a.png")
    image = pictures.upload(tmp_path / "a.png", 64).image
    assert image[7, 5].tolist() == [200, 100, 0]
    assert image[7, 40].tolist() == [255, 255, 255]
    assert np.abs(image[7, 30].astype(int) - [127, 177, 227]).max() <= 1  # half of each


def test_examples_are_generated_at_the_size_asked_for():
    assert pictures.example(2, 512).size == (192, 384)
    assert pictures.example(2, 100).size == (50, 100)
    assert pictures.example(2, 100).key == pictures.example(2, 100).key != pictures.example(6, 100).key


@pytest.mark.parametrize("index", [1, -2, None, "2", [2], True, 10**9])
def test_only_the_examples_can_be_chosen(index):
    with pytest.raises(ValueError, match="There is no example"):
        pictures.example(index, 100)
