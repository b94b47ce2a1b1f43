import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data import cityscapes


def write(root, ids, ending=cityscapes.IDS_ENDING, split="val", name="bonn/bonn_000001_000019"):
    image = root / "leftImg8bit" / split / f"{name}{cityscapes.IMAGE_ENDING}"
    mask = root / "gtFine" / split / f"{name}{ending}"
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.array(ids, np.uint8)
    Image.new("RGB", ids.shape[::-1]).save(image)
    Image.fromarray(ids).save(mask)


def test_ids_names_and_colours_are_those_of_the_data_sets_scripts(tmp_path):
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    assert {label.id: label.trainId for label in labels if label.id >= 0} == cityscapes.CLASS_OF_ID
    write(tmp_path, [[0]])
    dataset = data.load("cityscapes", "val", root=tmp_path)
    evaluated = sorted((label for label in labels if 0 <= label.trainId < 255), key=lambda label: label.trainId)
    assert dataset.class_names == tuple(label.name for label in evaluated)
    assert dataset.palette == tuple(label.color for label in evaluated)


def test_raw_ids_become_classes_and_the_license_plate_is_ignored(tmp_path):
    write(tmp_path, [[7, 33, 0, 29, 255]])
    dataset = data.load("cityscapes", "val", root=tmp_path)
    assert dataset.image_name(0) == "bonn/bonn_000001_000019"
    assert dataset[0].label.tolist() == [[0, 18, 255, 255, 255]]


def test_an_id_that_does_not_exist_is_refused(tmp_path):
    write(tmp_path, [[7, 34]])
    with pytest.raises(ValueError, match=r"labelIds\.png: label value 34 .* allowed are 0 to 33 and 255"):
        data.load("cityscapes", "val", root=tmp_path)[0]


def test_converted_masks_are_taken_where_there_are_no_raw_ones(tmp_path):
    write(tmp_path, [[7, 18, 255]], cityscapes.CLASSES_ENDING)
    assert data.load("cityscapes", "val", root=tmp_path)[0].label.tolist() == [[7, 18, 255]]
    write(tmp_path, [[7, 33, 0]])
    assert data.load("cityscapes", "val", root=tmp_path)[0].label.tolist() == [[0, 18, 255]]


def test_colour_and_instance_masks_beside_are_no_trouble(tmp_path):
    write(tmp_path, [[7]])
    for ending in ("_gtFine_color.png", "_gtFine_instanceIds.png"):
        (tmp_path / f"gtFine/val/bonn/bonn_000001_000019{ending}").write_bytes(b"not looked at")
    assert len(data.load("cityscapes", "val", root=tmp_path)) == 1


def test_test_has_no_labels_even_where_masks_lie(tmp_path):
    write(tmp_path, [[7]], split="test")
    assert data.load("cityscapes", "test", root=tmp_path)[0].label is None


def test_a_city_that_is_a_link_is_followed(tmp_path):
    write(tmp_path / "disk", [[7]])
    for part in ("leftImg8bit", "gtFine"):
        (tmp_path / part / "val").mkdir(parents=True)
        (tmp_path / part / "val/bonn").symlink_to(tmp_path / "disk" / part / "val/bonn", target_is_directory=True)
    assert data.load("cityscapes", "val", root=tmp_path)[0].label.tolist() == [[0]]
