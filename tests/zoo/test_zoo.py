"""Names, entries and files."""

import json
import shutil
import tomllib
from dataclasses import replace

import pytest
from safetensors import safe_open

from segattn import load_model, zoo
from segattn.zoo import entry
from tests.places import ROOT


@pytest.fixture
def own_zoo(packed, tmp_path, monkeypatch):
    """A copy of the zoo that a test may damage."""
    shutil.copytree(packed, tmp_path / "zoo")
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "zoo")
    return tmp_path / "zoo"


@pytest.fixture
def no_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "nowhere")


NAMES = ["streets/fcn", "streets/ccnet", "streets/emanet"]


@pytest.mark.usefixtures("tiny_zoo")
def test_names_are_those_of_all_trunks_the_trunks_own_network_first():
    assert zoo.trunks() == ["streets", "streets-local"]
    local = [name.replace("streets", "streets-local") for name in NAMES]
    assert zoo.names() == [*NAMES, *local, "streets-local/ccnet-faithful"]


@pytest.mark.usefixtures("tiny_zoo")
def test_entry_knows_the_facts_of_its_run():
    found = zoo.find("streets-local/ccnet-faithful")
    assert (found.trunk, found.head, found.mode, found.seed) == ("streets-local", "ccnet", "faithful", 0)
    assert found.receptive_field == 311
    assert found.class_names[:2] == ("road", "sidewalk")
    assert len(found.class_names) == len(found.palette) == len(found.iou) == 19
    assert found.command == "segattn train tiny --head ccnet --mode faithful --seed 0"
    assert found.trunk_command == "segattn train tiny"
    assert found.experiment["data"]["name"] == "packed"
    assert found.scored["data"]["name"] == "streets"
    assert found.own_bytes == found.head_file.path.stat().st_size
    assert zoo.find("streets/fcn").own_bytes == 0  # it is the trunk
    assert found.parameters == sum(parameter.numel() for parameter in load_model(found).parameters())


@pytest.mark.usefixtures("tiny_zoo")
def test_networks_of_a_trunk_or_one():
    assert [str(each) for each in zoo.networks("streets")] == NAMES
    assert [str(each) for each in zoo.networks("streets/ccnet")] == ["streets/ccnet"]


@pytest.mark.usefixtures("tiny_zoo")
@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (lambda: zoo.find("streets/cnet"), "unknown network 'streets/cnet'; did you mean streets/ccnet"),
        (lambda: zoo.networks("street"), "unknown network 'street'; .*Known networks: streets/fcn, streets/ccnet"),
        (lambda: zoo.find("streets"), "streets is a trunk with 3 networks; name one of them, such as streets/fcn"),
        (lambda: zoo.trunk("streets-locl"), "unknown trunk 'streets-locl'; did you mean streets-local"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(look_up, message):
    with pytest.raises(ValueError, match=message):
        look_up()


@pytest.mark.usefixtures("no_zoo")
def test_installation_without_networks_says_so():
    assert zoo.names() == zoo.trunks() == []
    assert not zoo.is_named("streets/ccnet")
    for look_up in (zoo.find, zoo.networks, zoo.trunk):
        with pytest.raises(ValueError, match="this installation of segattn has no trained networks"):
            look_up("streets")
    with pytest.raises(ValueError, match=r"no model here.*or a network of the zoo \(this installation has none\)"):
        load_model("streets/ccnet")


@pytest.mark.usefixtures("tiny_zoo")
def test_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(zoo.source("streets/ccnet")) == "streets/ccnet"
    assert isinstance(zoo.source("streets/ccnet"), zoo.Entry)
    (tmp_path / "streets/ccnet").mkdir(parents=True)
    assert not zoo.is_named("streets/ccnet")
    with pytest.raises(
        ValueError, match=r"no model here.*while the folder streets/ccnet exists, the zoo's .* are hidden"
    ):
        load_model("streets/ccnet")
    assert load_model(zoo.find("streets/ccnet")).num_classes == 19  # an entry is no name


@pytest.mark.usefixtures("tiny_zoo")
def test_trunk_is_a_file_of_backbone_and_head():
    with safe_open(zoo.trunk("streets-local"), "pt") as file:
        names = set(file.keys())
    assert {name.partition(".")[0] for name in names} == {"backbone", "head"}
    assert "backbone.layer4.1.conv2.weight" in names
    assert "head.sandwich.classify.conv.weight" in names


# Files that are not those that were packed ------------------------------------------------------------------------------
def truncate(path):
    path.write_bytes(path.read_bytes()[:-8])


def change(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["trunk.safetensors", "ccnet.safetensors"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"bytes, not the [\d,]+ that zoo.json says"),
        (change, "changed since it was packed"),
        (lambda path: path.unlink(), "no such file, but zoo.json beside it names it"),
    ],
    ids=["truncated", "changed", "missing"],
)
def test_damaged_file_is_refused_by_name(file, damage, message, own_zoo):
    damage(own_zoo / "streets" / file)
    with pytest.raises(ValueError, match=rf"streets/{file}: .*{message}.*install segattn again"):
        load_model("streets/ccnet")
    assert load_model("streets-local/ccnet").num_classes == 19
    if file == "trunk.safetensors":
        with pytest.raises(ValueError, match=message):
            zoo.trunk("streets")


def without(key):
    def remove(raw):
        del raw[key]

    return remove


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda raw: raw.update(format=2), "format 2, this version of segattn reads 1"),
        (without("networks"), "no 'networks'"),
        (lambda raw: raw.update(networks=[]), "no networks"),
        (lambda raw: raw["networks"][1].pop("seed"), "missing required field `seed`"),
        (lambda raw: raw["networks"][1].update(mean_iou="high"), "Expected `float`, got `str`"),
    ],
)
def test_damaged_facts_are_named(edit, message, own_zoo):
    path = own_zoo / "streets" / "zoo.json"
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=rf"streets/zoo\.json: .*{message}"):
        zoo.names()


def test_facts_survive_their_file(packed):
    entries = zoo.read(packed / "streets-local")
    assert entry.encode(entries) == (packed / "streets-local/zoo.json").read_bytes()
    assert entry.encode([replace(each, seed=7) for each in entries]).count(b'"seed": 7,\n   "head_file"') == 4


# What ships -------------------------------------------------------------------------------------------------------------
def weights(root):
    return sorted(root.glob("*/*.safetensors"))


def test_weights_of_the_package_are_at_most_30_megabytes():
    assert sum(path.stat().st_size for path in weights(zoo.ROOT)) <= zoo.MAX_BYTES == 50_000_000


@pytest.mark.parametrize("shipped", [True, False], ids=["shipped", "tiny"])
def test_every_file_is_named_verified_and_taken_into_the_package(shipped, packed):
    root = zoo.ROOT if shipped else packed
    entries = [each for folder in sorted(root.glob("*/zoo.json")) for each in zoo.read(folder.parent)]
    files = {file.verified() for each in entries for file in (each.trunk_file, each.head_file)}
    assert files == set(weights(root))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = [pattern for pattern in project["tool"]["setuptools"]["package-data"]["segattn"] if "zoo" in pattern]
    taken = {path for pattern in patterns for path in root.glob(pattern.removeprefix("zoo/"))}
    assert taken == {path for path in root.glob("*/*") if path.suffix not in (".py", ".pyc")}


@pytest.mark.parametrize("shipped", [True, False], ids=["shipped", "tiny"])
def test_backbone_is_stored_once_a_trunk(shipped, packed):
    for path in weights(zoo.ROOT if shipped else packed):
        with safe_open(path, "pt") as file:
            parts = {name.partition(".")[0] for name in file.keys()}  # noqa: SIM118  not a dict
        assert parts == ({"backbone", "head"} if path.name == "trunk.safetensors" else {"head"}), path
