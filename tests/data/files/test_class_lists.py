import json
import re
from dataclasses import replace

import pytest

from segattn.data.files.class_lists import class_list, read


def written(folder, content, name="classes.json"):
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


def test_entries_give_names_colours_and_values(tmp_path):
    entries = [{"name": "road", "colour": [1, 2, 3], "value": 7}, {"name": "sky", "color": [4, 5, 6], "value": [8, 9]}]
    classes = read(written(tmp_path, {"classes": entries, "ignore": [0, [0, 0, 0]]}))
    assert classes.names == ["road", "sky"]
    assert classes.palette == [(1, 2, 3), (4, 5, 6)]
    assert classes.colours == {(1, 2, 3): 0, (4, 5, 6): 1}
    assert classes.values == {7: 0, 8: 1, 9: 1}
    assert classes.ignored == (0, (0, 0, 0))


def test_a_class_may_be_called_classes(tmp_path):
    assert read(written(tmp_path, {"classes": [1, 2, 3], "ignore": [4, 5, 6]})).names == ["classes", "ignore"]


def test_a_colour_of_two_classes_tells_neither(tmp_path):
    classes = read(written(tmp_path, {"a": [1, 2, 3], "b": [1, 2, 3], "c": [4, 5, 6]}))
    assert classes.colours == {(4, 5, 6): 2}
    assert classes.palette[:2] == [(1, 2, 3)] * 2


def test_names_may_be_given_as_a_list():
    assert class_list(None, ["road", " sky "], what="mine").names == ["road", "sky"]


def test_a_relative_file_is_looked_for_in_the_root(tmp_path):
    written(tmp_path, "road\nsky\n", "my names.txt")
    assert class_list(tmp_path, "my names.txt", what="mine").names == ["road", "sky"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"name": "a", "value": 1}, {"name": "b", "value": 1}], "value 1 stands for a and for b"),
        ([{"name": "a", "value": 1}, "b"], "class 'b' has no value, and others have one"),
        ([{"name": "a", "value": -1}], "value -1 of class 'a'"),
        ([{"name": "a", "value": 65536}], "value 65536 of class 'a'"),
        ([{"name": "a", "value": True}], "value True of class 'a'"),
        ({"classes": ["a"], "ignored": 3}, "'ignored' beside classes; expected classes and ignore"),
        ({"classes": ["a"], "ignore": "black"}, "'black' is neither a mask value"),
    ],
)
def test_contradictions_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(written(tmp_path, content))
    with pytest.raises(ValueError, match=rf"classes of data set mine: .*{re.escape(message)}"):
        class_list(None, content, what="mine")


@pytest.mark.parametrize(
    "content",
    [
        {"road": [128, 64, 128], "sky": [70, 130, 180]},
        [{"name": "road", "value": 7}, {"name": "sky", "value": [8, 9]}],
        {"classes": ["road", "sky"], "ignore": [[0, 0, 0]]},
        ["road", "sky"],
    ],
)
def test_an_option_says_what_a_file_says(tmp_path, content):
    from_file = read(written(tmp_path, content))
    assert replace(from_file, path=None) == class_list(None, content, what="mine")
    assert from_file.names == ["road", "sky"]


def test_neither_file_nor_list_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"should be a file or a list of names, not 3"):
        class_list(tmp_path, 3, what="mine")
    with pytest.raises(ValueError, match=r"data set mine names no classes; give the option classes"):
        class_list(None, None, what="mine")
