"""`segattn maps --receptive-field`, as a user types it."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.cli import main
from segattn.cli.receptive_field import table
from segattn.maps.receptive import ReceptiveField, Spread

pytestmark = pytest.mark.slow


@pytest.fixture
def photos(tmp_path):
    """A folder with a space in its name, and two photos of different sizes."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    for index, (height, width) in enumerate([(48, 80), (33, 51)]):
        image = data.load("streets", "val", height=height, width=width)[index].image
        Image.fromarray(image).save(folder / f"street {index}.png")
    return folder


def reach(*arguments):
    return main(["maps", "--receptive-field", "--device", "cpu", *map(str, arguments)])


def test_validation_images_of_the_networks_own_data_are_the_default(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reach(trained) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^Effective receptive field of the middle on the first \d+ validation images of streets\.", shown)
    assert re.search(r"^ccnet +\d+ +\d+ ", shown, re.MULTILINE)
    written, _, step = shown.rstrip().rpartition("\n\nNext: ")
    assert written.endswith("receptive-field.png")
    assert shlex.split(step.replace("\\\n", "")) == ["segattn", "demo", str(trained)]
    with Image.open("receptive-field.png") as figure:
        assert figure.width == 1696
        assert len(np.unique(np.asarray(figure.convert("L")))) > 50


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_folder_of_photos(trained, photos, tmp_path, ending, capsys):
    out = tmp_path / "new" / f"reach.{ending}"
    assert reach(trained, "--image", photos, "--out", out, "--pixel", "20,10", "--max-side", "64") == 0
    assert out.stat().st_size > 5000
    assert f"of pixel (20, 10) on 2 photos of {photos}." in capsys.readouterr().out


def test_one_photo(trained, photos, tmp_path, capsys):
    photo = photos / "street 1.png"
    assert reach(trained, "--image", photo, "--out", tmp_path / "reach.png") == 0
    assert f"of the middle on {photo}." in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_zoo")
def test_networks_of_the_zoo_are_the_default_and_heads_without_maps_are_there_too(photos, tmp_path, capsys):
    assert reach("--image", photos, "--out", tmp_path / "reach.png") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("No run given: the study's heads on streets-local")
    assert re.findall(r"^(\S+) +\d+ +\d+ ", shown, re.MULTILINE) == ["ccnet", "emanet", "fcn"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "{photos}/gone"], "gone: no such file or folder"),
        (["--image", "{photos}/empty"], "empty has no images"),
        (["--image", "{photos}", "--pixel", "60,10"], "pixel (60, 10) is outside the image of 51 x 33 pixels"),
        (["--every-map"], "--every-map is for maps, which --receptive-field does not draw"),
        (["--out", "reach.jpg"], "reach.jpg: the figure is written as .png, .pdf, .svg"),
        (["--pixel", "here"], "--pixel 'here' should be X,Y"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_named(arguments, message, trained, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (photos / "empty").mkdir()
    assert reach(trained, *(argument.format(photos=photos) for argument in arguments)) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [([], "--image PHOTO"), (["--image", "street.jpg"], "--pixel X,Y")],
    ids=["image", "pixel"],
)
def test_maps_without_image_or_pixel_say_what_to_type(arguments, missing, trained, capsys):
    assert main(["maps", str(trained), *arguments]) == 2
    assert f"segattn maps needs {missing}, or --receptive-field, which needs neither" in capsys.readouterr().err


def test_table_has_shares_in_per_cent_and_a_dash_where_the_last_map_is_not_read():
    within = np.array([0.25, *[0.5] * 40, *[1.0] * 300])
    spread = Spread(np.ones((1, 1), np.float32), within)
    rows = table([ReceptiveField("a", 1, spread, None), ReceptiveField("b", 1, spread, spread)])
    cells = [list(column.cells) for column in rows.columns]
    assert cells == [["a", "b"], ["1", "1"], ["41", "41"], ["50.0", "50.0"], *3 * [["0.0", "0.0"]], ["–", "41"]]
