import numpy as np
import pytest
from PIL import Image

from segattn.data.files.pairs import PairReader, find_pairs, has_files, read_image, read_label

rng = np.random.default_rng(2309)
PICTURE = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
INDICES = rng.integers(0, 3, (5, 7)).astype(np.uint8)


def saved(path, array, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_rgb_png_is_read_as_it_is(tmp_path):
    assert np.array_equal(read_image(saved(tmp_path / "a.png", PICTURE)), PICTURE)


def test_grey_picture_gets_three_equal_channels(tmp_path):
    image = read_image(saved(tmp_path / "a.png", PICTURE[:, :, 0]))
    assert np.array_equal(image, np.stack([PICTURE[:, :, 0]] * 3, axis=2))


def test_16_bit_grey_is_scaled_to_8_bits(tmp_path):
    image = read_image(saved(tmp_path / "a.png", np.array([[0, 255, 256, 65535]], np.uint16)))
    assert image[0].tolist() == [[0] * 3, [0] * 3, [1] * 3, [255] * 3]


def test_palette_picture_is_read_in_its_colours(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putdata([0, 1])
    picture.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_photo_with_exif_rotation_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    path = saved(tmp_path / "a.png", np.ascontiguousarray(np.rot90(PICTURE)), exif=exif)
    assert np.array_equal(read_image(path), PICTURE)


def test_opaque_alpha_is_dropped(tmp_path):
    opaque = np.dstack([PICTURE, np.full((5, 7), 255, np.uint8)])
    assert np.array_equal(read_image(saved(tmp_path / "a.png", opaque)), PICTURE)


def test_transparent_pixels_are_refused(tmp_path):
    clear = np.dstack([PICTURE, np.full((5, 7), 255, np.uint8)])
    clear[1, 2, 3] = 17
    with pytest.raises(ValueError, match=r"a\.png: has transparent pixels \(alpha 17\); flatten it"):
        read_image(saved(tmp_path / "a.png", clear))


def test_floating_point_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.tif: pixels of mode F"):
        read_image(saved(tmp_path / "a.tif", np.zeros((2, 2), np.float32)))


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("share", [0, 1, 30, 60])
def test_truncated_file_is_named(tmp_path, kind, share):
    path = saved(tmp_path / f"a.{kind}", rng.integers(0, 256, (50, 70, 3)).astype(np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * share // 100])
    with pytest.raises(ValueError, match=rf"a\.{kind}: unreadable image"):
        read_image(path)


def test_decompression_bomb_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"a\.png: unreadable image .*decompression bomb"):
        read_image(saved(tmp_path / "a.png", PICTURE))


def message_or_shape(path):
    try:
        return read_image(path).shape
    except ValueError as error:
        return "named" if path.name in str(error) else str(error)


def test_broken_bytes_never_escape_as_another_error(tmp_path):
    content = bytearray(saved(tmp_path / "a.png", PICTURE).read_bytes())
    for trial in range(200):
        mutated = bytearray(content)
        for _ in range(1 + trial % 4):
            mutated[int(rng.integers(len(mutated)))] = int(rng.integers(256))
        (tmp_path / "b.png").write_bytes(mutated)
        assert message_or_shape(tmp_path / "b.png") in ("named", (5, 7, 3))


@pytest.mark.parametrize("mode", ["L", "P"])
def test_mask_gives_its_indices_not_its_colours(tmp_path, mode):
    mask = Image.fromarray(INDICES)
    if mode == "P":
        mask.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    mask.save(tmp_path / "m.png")
    assert np.array_equal(read_label(tmp_path / "m.png", 3), INDICES)


def test_16_bit_mask_of_small_values_is_read(tmp_path):
    path = saved(tmp_path / "m.png", INDICES.astype(np.uint16))
    label = read_label(path, 3)
    assert label.dtype == np.uint8
    assert np.array_equal(label, INDICES)


def test_16_bit_mask_of_large_values_is_refused(tmp_path):
    wide = INDICES.astype(np.uint16)
    wide[4, 6] = 256 + 1  # would wrap to class 1
    with pytest.raises(ValueError, match=r"m\.png: label value 257 at row 4, column 6"):
        read_label(saved(tmp_path / "m.png", wide), 3)


def test_label_value_outside_the_classes_is_named_with_its_place(tmp_path):
    bad = INDICES.copy()
    bad[2, 5] = bad[3, 1] = 3
    path = saved(tmp_path / "m.png", bad)
    message = r"m\.png: label value 3 at row 2, column 5 \(2 such pixels\); allowed are 0 to 2 and 255 \(ignored\)"
    with pytest.raises(ValueError, match=message):
        read_label(path, 3)


def test_255_is_ignored_and_mapped_values_become_their_class(tmp_path):
    path = saved(tmp_path / "m.png", np.array([[0, 2, 11, 255]], np.uint8))
    assert read_label(path, 3, {0: 0, 2: 1, 11: 255}).tolist() == [[0, 1, 255, 255]]
    with pytest.raises(ValueError, match=r"label value 2 .* allowed are 0 to 1, 11 and 255"):
        read_label(path, 3, {0: 0, 1: 1, 11: 255})
    with pytest.raises(ValueError, match="label value 11"):
        read_label(path, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_mask_of_several_channels_is_refused(tmp_path, mode):
    with pytest.raises(ValueError, match=rf"m\.png: a mask of mode {mode}"):
        read_label(saved(tmp_path / "m.png", INDICES, mode), 3)


def test_pairs_are_sorted_and_named_by_path(tmp_path):
    for name in ("b", "town/a"):
        saved(tmp_path / "i" / f"{name}.jpg", PICTURE)
        saved(tmp_path / "m" / f"{name}.png", INDICES)
    (tmp_path / "i" / "notes.txt").write_text("no image")
    (tmp_path / "i" / ".hidden.jpg").write_text("no image either")
    assert [pair.name for pair in find_pairs(tmp_path / "i", tmp_path / "m")] == ["b", "town/a"]


def test_image_without_mask_and_mask_without_image_are_named(tmp_path):
    for name in ("a", "b"):
        saved(tmp_path / "i" / f"{name}.png", PICTURE)
    saved(tmp_path / "m" / "a.png", INDICES)
    with pytest.raises(ValueError, match=r"no mask for .*b\.png"):
        find_pairs(tmp_path / "i", tmp_path / "m")
    saved(tmp_path / "m" / "b.png", INDICES)
    saved(tmp_path / "m" / "c.png", INDICES)
    with pytest.raises(ValueError, match=r"no image for .*c\.png"):
        find_pairs(tmp_path / "i", tmp_path / "m")


def test_two_images_of_one_name_are_refused(tmp_path):
    saved(tmp_path / "i" / "a.png", PICTURE)
    saved(tmp_path / "i" / "a.jpg", PICTURE)
    with pytest.raises(ValueError, match="have the same name"):
        find_pairs(tmp_path / "i", None)


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone: no such folder of images"):
        find_pairs(tmp_path / "gone", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: no image in this folder"):
        find_pairs(tmp_path / "empty", None)


def test_sizes_that_differ_are_named_with_both_files(tmp_path):
    saved(tmp_path / "i" / "a.png", PICTURE)
    saved(tmp_path / "m" / "a.png", INDICES[:4])
    pairs = find_pairs(tmp_path / "i", tmp_path / "m")
    with pytest.raises(ValueError, match=r"a\.png is 7x5 \(width x height\) but its label .*a\.png is 7x4"):
        PairReader(pairs, 3)(0)


def test_a_link_that_leads_in_circles_ends(tmp_path):
    saved(tmp_path / "i" / "a.png", PICTURE)
    (tmp_path / "i" / "loop").symlink_to(tmp_path / "i", target_is_directory=True)
    (tmp_path / "i" / "self.png").symlink_to(tmp_path / "i" / "self.png")
    pairs = find_pairs(tmp_path / "i", None)
    assert [pair.name for pair in pairs] == ["a", "self"]
    with pytest.raises(ValueError, match=r"self\.png: unreadable image"):
        PairReader(pairs, 3)(1)


def test_hidden_folders_and_files_are_not_read(tmp_path):
    for name in ("a", "b/.checkpoints/c", ".ipynb_checkpoints/a-checkpoint", "b/d", ".hidden"):
        saved(tmp_path / f"images/{name}.png", PICTURE)
        saved(tmp_path / f"masks/{name}.png", INDICES)
    saved(tmp_path / "images/.ipynb_checkpoints/without-mask.png", PICTURE)
    assert [pair.name for pair in find_pairs(tmp_path / "images", tmp_path / "masks")] == ["a", "b/d"]
    assert not has_files(tmp_path / "images", "-checkpoint.png")


def test_data_below_a_hidden_folder_are_read_if_it_is_named(tmp_path):
    saved(tmp_path / ".cache/images/a.png", PICTURE)
    assert [pair.name for pair in find_pairs(tmp_path / ".cache/images", None)] == ["a"]
