import subprocess
import sys

import pytest

from segattn import data


def test_every_public_module_that_is_no_stage_is_a_data_set():
    own = ["folder", "huggingface", "webdataset"]
    assert data.names() == sorted(
        ["ade20k", "camvid", "cityscapes", "coco_stuff", "packed", "probes", "streets", "voc", *own]
    )


def test_unknown_name_is_answered_with_the_nearest_one():
    with pytest.raises(
        ValueError,
        match=r"unknown data set 'street'; did you mean streets\? .*folder, huggingface, packed, probes, streets, voc",
    ):
        data.load("street", "train")


@pytest.mark.parametrize("name", ["loader", "transforms", "_dataset", "", "../streets"])
def test_what_is_no_data_set_is_refused(name):
    with pytest.raises(ValueError, match="unknown data set"):
        data.load(name, "train")


def test_unknown_option_is_answered_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"streets has no option 'hieght'; did you mean height"):
        data.load("streets", "train", hieght=128)


@pytest.mark.parametrize("name", data.names())
def test_unknown_split_is_named(name, tmp_path):
    with pytest.raises(ValueError, match=r"unknown split 'valid'; splits: train, val, test"):
        data.load(name, "valid", root=None if name in ("probes", "streets") else tmp_path)


def test_a_dotted_path_loads_a_module_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "pairs.py").write_text(
        "from segattn.data import streets\n"
        "def load(split, *, root=None, images=5):\n"
        "    return streets.load(split, height=32, width=64, num_images=images)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert len(data.load("mylab.pairs", "val", images=3)) == 3


def test_a_dotted_path_to_nothing_names_the_missing_module():
    with pytest.raises(ValueError, match=r"data set nolab\.pairs: no package nolab is installed"):
        data.load("nolab.pairs", "val")


def test_a_module_without_load_is_refused():
    with pytest.raises(ValueError, match=r"data set os\.path: .* has no function load; write: def load"):
        data.load("os.path", "val")


def test_asking_for_names_imports_no_torch():
    code = "import sys; from segattn import data; data.names(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_importing_builds_no_data_set():
    code = (
        "import importlib, pkgutil\n"
        "from segattn import data\n"
        "def refuse(self, **arguments): raise AssertionError(f'built at import: {arguments}')\n"
        "data.Dataset.__init__ = refuse\n"
        "for module in pkgutil.walk_packages(data.__path__, 'segattn.data.'): importlib.import_module(module.name)\n"
        "import segattn.cli.data, segattn.demo.pictures"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
