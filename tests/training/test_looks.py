"""Pictures of where networks look: what is drawn, from which networks, and when it is drawn again."""

import dataclasses
from types import MethodType

import pytest
import torch
from PIL import Image

from segattn import checkpoint, records
from segattn.data import Dataset, streets
from segattn.evaluation.telling import telling_pixels
from segattn.training import looks
from tests import tiny_zoo as zoo_tests
from tests.tiny_zoo import packed, tiny_runs, tiny_zoo  # noqa: F401  fixtures

SCENES = streets.load("val", height=32, width=64, num_images=3)
PIXELS = telling_pixels(SCENES)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of fcn, ccnet and emanet, controlled, with seed 0."""
    folder = tmp_path_factory.mktemp("study")
    trunk, folders = None, []
    for head in ("fcn", "ccnet", "emanet"):
        settings = zoo_tests.experiment(head, "controlled")
        model = zoo_tests.network(settings, trunk)
        trunk = trunk or model
        folders.append(zoo_tests.write_run(folder / f"{head}-controlled-s0", model, settings))
    return folders


def settings(**model):
    """The study's experiment."""
    return dataclasses.replace(
        zoo_tests.experiment("fcn", "controlled"),
        model=dataclasses.replace(zoo_tests.experiment("fcn", "controlled").model, **model),
    )


def update(previous, runs, out, *, opened=lambda: SCENES, notices=None, **model):
    notices = [] if notices is None else notices
    return looks.update(previous, settings(**model), runs, out, opened, device="cpu", on_notice=notices.append)


def test_receptive_fields_of_all_networks_are_drawn_and_recorded(runs, tmp_path):
    drawn = update(None, runs, tmp_path)
    assert drawn.fields.images == [SCENES[index].name for index in range(3)]
    assert [field.network for field in drawn.fields.networks] == [
        "fcn",
        "ccnet",
        "emanet",
    ]  # fcn too, which has no maps
    for field in drawn.fields.networks:
        assert 0 < field.half <= field.most
        assert len(field.beyond) == len(drawn.fields.distances)
        assert sorted(field.beyond, reverse=True) == field.beyond
        assert all(0 <= share <= 1 for share in field.beyond)
    with Image.open(tmp_path / drawn.fields.picture) as picture:
        assert picture.width > 1000
    (tmp_path / drawn.fields.picture).unlink()
    assert update(drawn, runs, tmp_path) == drawn  # a missing file is drawn again
    assert (tmp_path / drawn.fields.picture).is_file()


def never():
    raise AssertionError("the data were opened")


def test_every_pixel_has_a_picture_of_all_networks_that_have_maps(runs, tmp_path):
    drawn = looks.draw([(run.name.split("-")[0], run) for run in runs], SCENES, tmp_path / "looks", device="cpu")
    assert [(each.image, each.pixel, each.class_name, each.reason) for each in drawn] == [
        (pixel.image, pixel.pixel, pixel.class_name, pixel.reason) for pixel in PIXELS
    ]
    assert {tuple(each.networks) for each in drawn} == {("ccnet", "emanet")}  # fcn attends to nothing
    assert len({each.picture for each in drawn}) == len(PIXELS)
    for each in drawn:
        with Image.open(tmp_path / each.picture) as picture, Image.open(tmp_path / each.photo) as photo:
            assert picture.width > 1000
            assert photo.size == (64, 32)


def test_network_runs_once_an_image(runs, monkeypatch):
    seen, genuine = [], looks.look
    monkeypatch.setattr(looks, "look", lambda *a, **o: seen.append(o["name"]) or genuine(*a, **o))
    looks.observe([("ccnet", runs[1])], SCENES, PIXELS, device="cpu")
    assert len(seen) == len({pixel.index for pixel in PIXELS}) < len(PIXELS)


def test_networks_without_maps_make_no_picture_and_no_folder(runs, tmp_path):
    assert looks.draw([("fcn", runs[0])], SCENES, tmp_path / "looks", device="cpu") == []
    assert list(tmp_path.iterdir()) == []


def test_split_in_which_nothing_qualifies_makes_no_picture(runs, tmp_path):
    plain = streets.load("val", height=32, width=64, num_images=1)
    blank = dataclasses.replace(plain[0], label=plain[0].label * 0)
    one_class = Dataset(
        name="blank", split="val", class_names=plain.class_names, palette=plain.palette, image_names=["blank"],
        read=[blank].__getitem__, from_files=False,
    )  # fmt: skip
    assert looks.draw([("ccnet", runs[1])], one_class, tmp_path / "looks", device="cpu") == []


def test_network_whose_maps_fail_is_named_and_left_out(runs, tmp_path, monkeypatch):
    genuine = checkpoint.load_model

    def load_model(source, **options):
        model = genuine(source, **options)
        if source == runs[1]:
            wrong = lambda head, features, pixel: {"cross": torch.zeros(1, 2, 3)}  # noqa: E731
            model.head.attention_maps = MethodType(wrong, model.head)
        return model

    monkeypatch.setattr(checkpoint, "load_model", load_model)
    notices = []
    networks = [("ccnet", runs[1]), ("emanet", runs[2])]
    drawn = looks.draw(networks, SCENES, tmp_path / "looks", device="cpu", on_notice=notices.append)
    assert {tuple(each.networks) for each in drawn} == {("emanet",)}
    assert len(notices) == 1
    assert "ccnet is left out" in notices[0]
    assert "shape (2, 3)" in notices[0]


# In a study -------------------------------------------------------------------------------------------------------------
def test_runs_of_the_study_are_drawn(runs, tmp_path):
    drawn = update(None, runs, tmp_path)
    assert (drawn.trunk, drawn.seed, len(drawn.pictures)) == ("", 0, len(PIXELS))
    assert all((tmp_path / each.picture).is_file() for each in drawn.pictures)


@pytest.mark.parametrize("heads", [slice(None), slice(0, 1)], ids=["with maps", "without maps"])
def test_pictures_of_the_same_runs_are_not_drawn_again(heads, runs, tmp_path):
    first = update(None, runs[heads], tmp_path)
    assert update(first, runs[heads], tmp_path, opened=never) is first


def test_pictures_of_a_run_that_changed_are_drawn_again(runs, tmp_path):
    first = update(None, runs[:2], tmp_path)
    grown = update(first, runs, tmp_path)
    assert grown.key != first.key
    assert {tuple(each.networks) for each in grown.pictures} == {("ccnet", "emanet")}
    record = runs[1] / "record.json"
    before = record.read_bytes()
    records.write(dataclasses.replace(records.read(record), created="later"), record)
    assert update(grown, runs, tmp_path).key != grown.key
    record.write_bytes(before)


def test_missing_picture_is_drawn_again(runs, tmp_path):
    first = update(None, runs, tmp_path)
    (tmp_path / first.pictures[0].picture).unlink()
    assert update(first, runs, tmp_path) == first
    assert (tmp_path / first.pictures[0].picture).is_file()


def test_pictures_of_pixels_that_are_no_longer_chosen_go(runs, tmp_path):
    first = update(None, runs, tmp_path)
    again = update(first, runs[:2], tmp_path, opened=lambda: SCENES.first(2))
    before, kept = ({path for each in of.pictures for path in (each.picture, each.photo)} for of in (first, again))
    assert before - kept
    assert {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "looks").iterdir()} == {
        *kept,
        again.fields.picture,
    }


def test_data_that_are_gone_are_a_notice(runs, tmp_path):
    def gone():
        raise ValueError("no folder photos")

    notices = []
    assert update(None, runs, tmp_path, opened=gone, notices=notices) is None
    assert notices == ["Where they look: no pictures. no folder photos"]


@pytest.mark.parametrize("content", [None, b"{", b'{"kind": "study", "schema": 1}'])
def test_record_that_is_missing_or_damaged_names_no_pictures(content, tmp_path):
    if content is not None:
        (tmp_path / "study.json").write_bytes(content)
    assert looks.recorded(tmp_path / "study.json") is None


@pytest.mark.usefixtures("tiny_zoo")
def test_study_on_a_trunk_of_the_zoo_shows_the_zoos_networks_of_its_heads(runs, tmp_path):
    drawn = update(None, [runs[2], runs[0]], tmp_path, pretrained="streets-local", mode="controlled")
    assert (drawn.trunk, drawn.seed) == ("streets-local", None)
    assert {tuple(each.networks) for each in drawn.pictures} == {("emanet",)}  # ccnet is in the zoo, not in the study
    assert (
        update(drawn, [runs[2], runs[0]], tmp_path, opened=never, pretrained="streets-local", mode="controlled")
        is drawn
    )


@pytest.mark.usefixtures("tiny_zoo")
@pytest.mark.parametrize(
    "model",
    [{"pretrained": "streets-local/ccnet"}, {"pretrained": "torchvision:resnet101"}, {"pretrained": None}],
    ids=lambda model: str(model["pretrained"]),
)
def test_study_on_anything_else_shows_its_own_networks(model, runs, tmp_path):
    assert update(None, runs, tmp_path, mode="controlled", **model).trunk == ""


@pytest.mark.usefixtures("tiny_zoo")
def test_networks_of_the_zoo_that_know_other_classes_are_not_shown(runs, tmp_path, monkeypatch):
    genuine = checkpoint.read_config

    def read_config(source):
        raw = genuine(source)
        return {**raw, "class_names": ["a", "b"]} if source in runs else raw

    monkeypatch.setattr(checkpoint, "read_config", read_config)
    assert looks._of_zoo(settings(pretrained="streets-local", mode="controlled"), runs) == []
    monkeypatch.undo()


@pytest.mark.usefixtures("tiny_zoo")
def test_networks_of_the_zoo_in_another_mode_are_not_shown(runs):
    assert looks._of_zoo(settings(pretrained="streets-local", mode="faithful"), runs[2:]) == []
