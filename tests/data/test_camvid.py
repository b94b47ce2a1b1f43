import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.config import Augmentation
from segattn.data.loader import EvaluationStream, TrainingStream
from tests.places import CAMVID

PHOTOS = CAMVID
photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"the CamVid photos are not at {PHOTOS}")


def test_void_becomes_ignored_and_other_values_are_refused(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "val" / part).mkdir(parents=True)
    Image.new("RGB", (3, 1)).save(tmp_path / "val/images/a.jpg")
    Image.fromarray(np.array([[0, 10, 11]], np.uint8)).save(tmp_path / "val/labels/a.png")
    assert data.load("camvid", "val", root=tmp_path)[0].label.tolist() == [[0, 10, 255]]
    Image.fromarray(np.array([[0, 10, 12]], np.uint8)).save(tmp_path / "val/labels/a.png")
    with pytest.raises(ValueError, match=r"a\.png: label value 12 .* allowed are 0 to 11 and 255"):
        data.load("camvid", "val", root=tmp_path)[0]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="camvid needs its folder"):
        data.load("camvid", "train")
    with pytest.raises(ValueError, match=r"train: no such folder; camvid should be in"):
        data.load("camvid", "train", root=tmp_path)


@photos
@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101), ("test", 233)])
def test_the_photos_are_all_paired(split, count):
    assert len(data.load("camvid", split, root=PHOTOS)) == count


@photos
def test_a_few_photos_pass_the_check_and_look_as_described():
    dataset = data.load("camvid", "val", root=PHOTOS)
    assert data.verify(dataset, limit=13) == 13
    sample = dataset[0]
    assert sample.image.shape == (360, 480, 3)
    assert sample.label.shape == (360, 480)
    assert set(np.unique(sample.label)) <= {*range(11), 255}
    sky, road = sample.image[sample.label == 0].mean(), sample.image[sample.label == 3].mean()
    assert sky > road  # the sky of the first frame is brighter than its road


@photos
def test_a_few_photos_pass_through_training_and_evaluation():
    train = TrainingStream(
        data.load("camvid", "train", root=PHOTOS), Augmentation(crop_size=(97, 131)), batch_size=3, seed=7
    )
    batch = next(train.batches())
    assert batch["image"].shape == (3, 3, 97, 131)
    assert batch["label"].shape == (3, 97, 131)
    whole = EvaluationStream(data.load("camvid", "test", root=PHOTOS), batch_size=2, limit=3)
    assert [tuple(batch["image"].shape) for batch in whole] == [(2, 3, 360, 480), (1, 3, 360, 480)]
