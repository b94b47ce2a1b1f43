import sys

import pytest

from segattn.catalogue import check_options, first_line, hint, is_dotted, keyword_only, load_module, unknown


def test_as_many_names_as_asked_for_nearest_first():
    known = ["ccnet", "danet", "dnlnet", "fcn"]
    assert hint("dannet", known) == "did you mean danet or dnlnet? "
    assert hint("dannet", known, most=1) == "did you mean danet? "


def test_what_is_much_less_alike_than_the_nearest_is_left_out():
    assert hint("ccnett", ["ccnet", "reconet", "danet"]) == "did you mean ccnet? "
    assert hint("daneet", ["danet", "isanet", "flanet"], most=3) == "did you mean danet? "


def test_nothing_near_is_no_hint():
    assert hint("street", ["ccnet"]) == ""
    assert hint(7, []) == ""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory; what is imported from it is forgotten afterwards, and what other tests have imported before."""
    monkeypatch.chdir(tmp_path)
    finders = list(sys.meta_path)
    _forget()
    yield tmp_path
    sys.meta_path[:] = finders
    _forget()


def _forget():
    for name in [name for name in sys.modules if name.split(".")[0] in ("mylab", "otherlab")]:
        del sys.modules[name]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_dotted_paths_are_told_from_names():
    assert all(map(is_dotted, ("mylab.tenth", "a.b.c", "_a.b1")))
    assert not any(map(is_dotted, ("ccnet", "mylab/tenth.py", "mylab.", ".tenth", "my lab.tenth", "1a.b")))


def test_module_of_the_working_directory_and_its_siblings_import(folder):
    write(folder / "mylab/tenth.py", "from mylab.parts import VALUE\nfrom . import parts\nfrom mylab.deep import more")
    write(folder / "mylab/parts.py", "VALUE = 3")
    write(folder / "mylab/deep/more.py", "")
    path = list(sys.path)
    module = load_module("mylab.tenth", "head")
    assert module.VALUE == module.parts.VALUE == 3
    assert sys.path == path
    assert load_module("mylab.tenth", "head") is module


def test_package_with_an_init_file_imports_too(folder):
    write(folder / "mylab/__init__.py", "from mylab.parts import VALUE")
    write(folder / "mylab/parts.py", "VALUE = 3")
    write(folder / "mylab/tenth.py", "from mylab import VALUE")
    assert load_module("mylab.tenth", "head").VALUE == 3


@pytest.mark.parametrize("name", ["yaml.nodes", "json.decoder", "segattn.heads.ccnet"])
def test_what_is_installed_is_not_shadowed_by_a_folder_of_the_same_name(name, folder):
    write(folder / f"{name.replace('.', '/')}.py", "SHADOW = True")
    assert not hasattr(load_module(name, "head"), "SHADOW")


def test_only_the_package_asked_for_is_looked_for(folder):
    """Not what it imports: `numpy.py` and `yaml.py` beside it, or a package of the folder that it was not asked for."""
    for name in ("numpy", "yaml", "otherlab"):
        write(folder / f"{name}.py", "raise SystemExit('imported')")
    write(folder / "mylab/tenth.py", "import numpy, yaml\nARRAY, LOAD = numpy.zeros(2), yaml.safe_load")
    assert load_module("mylab.tenth", "head").ARRAY.shape == (2,)
    write(folder / "mylab/eleventh.py", "import otherlab")
    with pytest.raises(ValueError, match=r"mylab/eleventh\.py, line 1 imports 'otherlab', which is not installed"):
        load_module("mylab.eleventh", "head")


def test_error_while_importing_a_sibling_names_its_file_and_line(folder):
    write(folder / "mylab/tenth.py", "import mylab.parts")
    write(folder / "mylab/parts.py", "\n1 / 0")
    with pytest.raises(
        ValueError, match=r"data set mylab\.tenth: importing it raises ZeroDivisionError.*parts\.py, line 2\)$"
    ):
        load_module("mylab.tenth", "data set")


def test_missing_sibling_is_told_from_a_missing_module(folder):
    write(folder / "mylab/tenth.py", "import mylab.partz")
    write(folder / "mylab/parts.py", "")
    with pytest.raises(
        ValueError, match=r"head mylab\.tenth: .*tenth\.py, line 1 imports 'mylab\.partz', .*did you mean parts\?"
    ):
        load_module("mylab.tenth", "head")


def test_module_written_after_a_failure_is_found(folder):
    with pytest.raises(ValueError, match="no package mylab is installed"):
        load_module("mylab.tenth", "head")
    write(folder / "mylab/tenth.py", "VALUE = 3")
    assert load_module("mylab.tenth", "head").VALUE == 3


def test_exception_in_one_line():
    assert first_line(ValueError("one\ntwo")) == "ValueError: one"
    assert first_line(KeyError()) == "KeyError: "


def test_another_working_directory_takes_the_place_of_the_former(folder, monkeypatch):
    for place, value in (("one", 1), ("two", 2)):
        write(folder / place / "mylab/tenth.py", f"VALUE = {value}")
        monkeypatch.chdir(folder / place)
        assert value == load_module("mylab.tenth", "head").VALUE
        for name in ("mylab", "mylab.tenth"):
            del sys.modules[name]


def test_unknown_name_is_told_with_the_nearest_and_all_of_them():
    error = unknown("data set", "street", ["camvid", "streets"], also=", or a dotted path")
    assert isinstance(error, ValueError)
    assert str(error) == (
        "unknown data set 'street'; did you mean streets? Known data sets: camvid, streets, or a dotted path"
    )


def test_unknown_name_without_a_near_one_has_no_hint():
    assert str(unknown("head", "xyz", ["fcn"])) == "unknown head 'xyz'; Known heads: fcn"


def test_first_option_that_is_not_there_is_told_with_the_nearest():
    check_options("head 'fcn'", {"channels": 8}, ["channels", "dropout"])
    with pytest.raises(
        ValueError, match=r"^head 'fcn' has no option 'chanels'; did you mean channels\? Its options: chan"
    ):
        check_options("head 'fcn'", {"channels": 8, "chanels": 9, "x": 1}, ["channels", "dropout"])
    with pytest.raises(ValueError, match=r"^data set ade20k has no option 'version'; Its options: none$"):
        check_options("data set ade20k", ["version"], [])


def test_options_of_a_class_are_its_keyword_only_parameters():
    class Block:
        def __init__(self, channels, size=3, *, scale=True, **rest): ...

    assert keyword_only(Block) == ["scale"]
