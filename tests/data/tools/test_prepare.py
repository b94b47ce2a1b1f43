import base64
import io
import tarfile
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data import ade20k, coco_stuff, voc
from segattn.data.tools import download, make, prepare
from segattn.data.tools.recipe import Archive, Recipe
from tests.data.files.test_matlab import COMPRESSED, STRUCTURE


def zip_of(folder):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder))
    return content.getvalue()


def tar_of(folder, mode="w"):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as file:
        file.add(folder, ".")
    return content.getvalue()


def served(site, monkeypatch, module, recipe, **files):
    """Serve the archives of a recipe in its order; `recipe` is changed to fetch them here."""
    archives = []
    for archive, content in zip(recipe.archives, files.values(), strict=True):
        site.files[f"/{archive.file_name}"] = content
        archives.append(replace(archive, url=f"{site.url}/{archive.file_name}", md5=""))
    monkeypatch.setattr(module, "RECIPE", replace(recipe, archives=tuple(archives)))


def test_ade20k_is_downloaded_and_unpacked_once(site, monkeypatch, tmp_path):
    make.make("ade20k", tmp_path / "made", images=3, size=(32, 48))
    served(site, monkeypatch, ade20k, ade20k.RECIPE, main=zip_of(tmp_path / "made"))
    site.limits = [3000]  # and the rest by a second request
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    steps = []
    done = prepare.prepare("ade20k", tmp_path / "ade", on_step=lambda *step: steps.append(step))
    assert [asked for _, asked in site.requests] == [None, "bytes=3000-"]
    assert len(data.load("ade20k", "train", root=tmp_path / "ade")) == 3
    assert done[0].startswith("downloaded")
    assert "extracted 9 files" in done[1]
    assert steps[-1] == ("extracting ADEChallengeData2016.zip", 9, 9)
    assert prepare.prepare("ade20k", tmp_path / "ade") == []
    assert len(site.requests) == 2


def test_archives_can_be_removed_and_are_not_fetched_again(site, monkeypatch, tmp_path):
    make.make("ade20k", tmp_path / "made", images=1, size=(32, 48))
    served(site, monkeypatch, ade20k, ade20k.RECIPE, main=zip_of(tmp_path / "made"))
    prepare.prepare("ade20k", tmp_path / "ade", keep_archives=False)
    assert not list((tmp_path / "ade/downloads").glob("*.zip"))
    assert prepare.prepare("ade20k", tmp_path / "ade") == []


def test_voc_gets_its_augmented_list_from_matlab_files(site, monkeypatch, tmp_path):
    main, more = tmp_path / "main", tmp_path / "more"
    make.make("voc", main, images=2, size=(32, 48))
    (more / "benchmark_RELEASE/dataset/cls").mkdir(parents=True)
    for name in ("2008_000002", "val-000000"):  # the second is held out
        content = zlib.decompress(base64.b85decode(STRUCTURE))
        (more / f"benchmark_RELEASE/dataset/cls/{name}.mat").write_bytes(content)
    Image.new("RGB", (3, 2)).save(main / "VOCdevkit/VOC2012/JPEGImages/2008_000002.jpg")
    served(site, monkeypatch, voc, voc.RECIPE, main=tar_of(main), more=tar_of(more, "w:gz"))
    done = prepare.prepare("voc", tmp_path / "voc")
    dataset = data.load("voc", "train", root=tmp_path / "voc")
    assert [sample.name for sample in dataset] == ["2008_000002", "train-000000", "train-000001"]
    assert dataset[0].label.tolist() == [[0, 15, 255], [3, 20, 1]]
    assert "2 masks written" in done[-1]
    assert "3 names" in done[-1]


def test_the_10k_form_of_coco_stuff_is_sorted_and_converted(site, monkeypatch, tmp_path):
    release = tmp_path / "release"
    for part in ("images", "annotations", "imageLists"):
        (release / part).mkdir(parents=True)
    for split, name in (("train", "COCO_train2014_000000000077"), ("test", "COCO_train2014_000000000149")):
        (release / f"imageLists/{split}.txt").write_text(f"{name}\n")
        Image.new("RGB", (4, 3)).save(release / f"images/{name}.jpg")
        (release / f"annotations/{name}.mat").write_bytes(zlib.decompress(base64.b85decode(COMPRESSED)))
    small = coco_stuff.RECIPE.variants["10k"]
    site.files["/10k.zip"] = zip_of(release)
    small = replace(small, archives=(Archive(f"{site.url}/10k.zip", "1 KB"),))
    monkeypatch.setattr(coco_stuff, "RECIPE", replace(coco_stuff.RECIPE, variants={"10k": small}))
    # The stored ids hold 45, which is the unused "plate"
    with pytest.raises(ValueError, match="id that COCO-Stuff does not use"):
        prepare.prepare("coco_stuff", tmp_path / "coco", variant="10k")
    monkeypatch.setattr(coco_stuff.matlab, "read", lambda path: {"S": np.array([[0, 1, 13, 182]], np.uint16)})
    prepare.prepare("coco_stuff", tmp_path / "coco", variant="10k")
    Image.new("RGB", (4, 1)).save(tmp_path / "coco/images/train2014/COCO_train2014_000000000077.jpg")
    # 0 unlabelled; 1 person, class 0; 13 stop sign, class 11; 182 wood, class 170
    assert data.load("coco_stuff", "train", root=tmp_path / "coco")[0].label.tolist() == [[255, 0, 11, 170]]
    assert len(data.load("coco_stuff", "val", root=tmp_path / "coco")) == 1
    assert prepare.prepare("coco_stuff", tmp_path / "coco", variant="10k")


def test_cityscapes_says_what_to_fetch_and_unpacks_what_was_fetched(tmp_path):
    text = prepare.instructions("cityscapes", tmp_path)
    for part in ("leftImg8bit_trainvaltest.zip", "register", "ROOT/gtFine/{train,val}/CITY", f"{tmp_path}/downloads"):
        assert part in text
    with pytest.raises(ValueError, match="still missing leftImg8bit/train, leftImg8bit/val, gtFine/train, gtFine/val"):
        prepare.prepare("cityscapes", tmp_path)
    make.make("cityscapes", tmp_path / "made", images=1, size=(32, 48))
    (tmp_path / "root/downloads").mkdir(parents=True)
    (tmp_path / "root/downloads/gtFine_trainvaltest.zip").write_bytes(zip_of(tmp_path / "made"))
    assert len(prepare.prepare("cityscapes", tmp_path / "root")) == 1
    assert len(data.load("cityscapes", "val", root=tmp_path / "root")) == 1


@pytest.mark.parametrize("name", ["ade20k", "voc", "coco_stuff", "cityscapes", "camvid"])
def test_instructions_name_every_address_and_the_tree(name, tmp_path):
    text = prepare.instructions(name, tmp_path)
    recipe = prepare.recipe(name)
    assert all(archive.url in text for archive in recipe.archives)
    assert recipe.archives or "http" in recipe.manual
    assert str(tmp_path) in text
    assert "Layout" in text or "layout" in text


def test_what_is_not_downloaded_and_unknown_forms_are_named():
    with pytest.raises(ValueError, match="streets is not downloaded: Generated street scenes"):
        prepare.recipe("streets")
    with pytest.raises(ValueError, match=r"coco_stuff has no variant '9k'; variants: 10k"):
        prepare.recipe("coco_stuff", "9k")
    with pytest.raises(ValueError, match=r"voc has no variant 'aug'; it has only one form"):
        prepare.recipe("voc", "aug")
    assert Recipe().archives == ()
