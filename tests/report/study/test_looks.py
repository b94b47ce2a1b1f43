"""The section Where they look: what it shows, how it says which networks are drawn, and pictures that are not there."""

import base64
import dataclasses
import io
import re
import shlex

import pytest
from PIL import Image

from segattn import records, report
from segattn.cli import maps as maps_command
from segattn.cli.arguments import parse
from segattn.report.study.looks import sections
from tests.report import fabricate


@pytest.fixture
def folder(tmp_path):
    """A study of three heads; its looks are still to be added."""
    return fabricate.study(tmp_path / "my study", ["fcn", "ccnet", "danet"], 1, with_cost=False)


def page_of(folder):
    return report.build(folder, folder)["report.html"].read_text(encoding="utf-8")


def test_page_shows_every_picture_with_its_rule_and_a_text_for_those_who_do_not_see_it(folder):
    fabricate.add_looks(folder)
    page = page_of(folder)
    section = page[page.index('<section id="looks">') :].partition("</section>")[0]
    assert 'href="#looks">Where they look' in page
    assert section.count("<img ") == 2
    assert section.count("<details") == 2
    assert section.count(" open>") == 1  # the first; the others are folded
    assert "traffic light: pixel (20, 10) of street_000" in section
    assert "The rule that chose the bus." in section
    assert (
        "The photo street_001 with pixel (21, 10) marked, labelled bus, and the main attention map from there of ccnet, danet "
        "and isanet"
    ) in section


def test_picture_is_embedded_at_the_width_of_a_page(folder):
    fabricate.add_looks(folder)
    (section,) = sections(report.load(folder))
    kind, _, data = section.tiles[0].uri.partition(";base64,")
    assert kind == "data:image/jpeg"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (1166, 583)  # of 1400 x 700


def test_command_is_one_that_segattn_takes_as_it_stands(folder):
    fabricate.add_looks(folder)
    (section,) = sections(report.load(folder))
    program, command, *rest = shlex.split(section.tiles[1].command)
    assert (program, command) == ("segattn", "maps")
    chosen = parse(maps_command.MapsArguments, rest, command="maps")
    assert chosen.runs == (folder,)
    assert chosen.image == folder / "looks/image-1.png"
    assert chosen.image.is_file()
    assert maps_command.pixel(chosen.pixel) == (21, 10)


def test_own_runs_and_networks_of_the_zoo_are_told_apart(folder, tmp_path):
    fabricate.add_looks(folder)
    other = fabricate.study(tmp_path / "other", ["fcn"], 1, with_cost=False)
    fabricate.add_looks(other, trunk="streets-local")
    own, shipped = (sections(report.load(each))[0] for each in (folder, other))
    assert own.networks == "The networks are the runs of this study with seed 0."
    assert shipped.networks.startswith(
        "The networks are those of the trunk streets-local of segattn zoo, which are fully trained"
    )
    assert shipped.tiles[0].command.startswith("segattn maps streets-local --image ")


def test_two_studies_show_the_pictures_of_both(folder, tmp_path):
    other = fabricate.study(tmp_path / "other", ["isanet"], 1, with_cost=False)
    for each in (folder, other):
        fabricate.add_looks(each)
    assert len(sections(report.load([folder, other]))) == 2
    page = report.build([folder, other], tmp_path / "out")["report.html"].read_text()
    assert page.count('<section id="looks">') == 1
    assert page.count('<details class="look"') == 4


@pytest.mark.parametrize("pictures", [None, []], ids=["old record", "nothing to show"])
def test_without_pictures_there_is_no_section(pictures, folder):
    looks = None if pictures is None else records.Looks(trunk="", seed=0, key="0", pictures=[])
    record = records.read(folder / "study.json")
    records.write(dataclasses.replace(record, looks=looks), folder / "study.json")
    page = page_of(folder)
    assert "Where they look" not in page
    assert 'id="looks"' not in page


@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        ("looks/gone.png", "gone.png is missing"),
        ("../secret.png", "outside the study&#39;s folder"),
        ("study.json", "study.json is not readable"),
    ],
)
def test_picture_that_cannot_be_shown_is_named(picture, problem, folder):
    Image.new("RGB", (3, 2)).save(folder.parent / "secret.png")
    fabricate.add_looks(folder, picture=picture)
    page = page_of(folder)
    assert problem in page
    assert page.count('<details class="look"') == 2


def add_fields(folder, **changes):
    """Receptive fields of two networks, of which one does not read the last map."""
    record = records.read(folder / "study.json")
    shares = {"network": "ccnet", "half": 20, "most": 127, "beyond": [0.325, 0.0004], "half_positions": 3}
    fields = records.Fields(
        picture="looks/0.png",
        images=["street_000", "street_001"],
        distances=[32, 128],
        networks=[
            records.Field(**shares, most_positions=20),
            records.Field(**{**shares, "network": "<b>fcn</b>", "half_positions": None}, most_positions=None),
        ],
    )
    looks = dataclasses.replace(record.looks, fields=dataclasses.replace(fields, **changes))
    records.write(dataclasses.replace(record, looks=looks), folder / "study.json")


def test_receptive_fields_are_a_table_and_a_picture(folder):
    fabricate.add_looks(folder, trunk="streets-local")
    add_fields(folder)
    (section,) = sections(report.load(folder))
    assert section.reach.headings == ["half, px", "90 %, px", "% beyond 32 px", "% beyond 128 px", "90 %, positions"]
    assert section.reach.lines[0] == ("ccnet", ["20", "127", "32.5", "0.0", "20"])
    assert section.reach.lines[1][1][-1] == "–"
    assert section.reach.command == "segattn maps streets-local --receptive-field"
    page = page_of(folder)
    assert "mean over 2 validation images" in page
    assert "<b>fcn</b>" not in page
    assert "&lt;b&gt;fcn" in page


def test_receptive_fields_are_shown_without_maps_and_a_missing_picture_is_named(folder):
    fabricate.add_looks(folder)
    record = records.read(folder / "study.json")
    looks = dataclasses.replace(record.looks, pictures=[])
    records.write(dataclasses.replace(record, looks=looks), folder / "study.json")
    add_fields(folder, picture="looks/gone.png")
    page = page_of(folder)
    assert 'id="reach"' in page
    assert "gone.png is missing" in page
    assert '<details class="look"' not in page


def test_strings_of_the_record_are_text(folder):
    evil = "<script>alert(1)</script>"
    fabricate.add_looks(folder, class_name=evil, image=evil, reason=evil, networks=[evil], photo=f"{evil}.png")
    page = page_of(folder)
    assert "<script>alert" not in page
    assert len(re.findall("&lt;script&gt;alert", page)) >= 5
