"""Classes are matched by name, never by number."""

import pytest

from segattn.data.classes import difference, matched, named


def test_equal_lists_need_no_mapping():
    assert matched(["road", "sky"], ["road", "sky"], what="mine") is None
    assert matched(None, ["road", "sky"], what="mine") is None


def test_another_order_is_mapped_by_name():
    network, labels = ["road", "sky", "tree"], ["tree", "road", "sky"]
    indices = matched(network, labels, what="mine")
    assert indices == [1, 2, 0]
    assert [labels[index] for index in indices] == network


@pytest.mark.parametrize(
    ("network", "labels"),
    [
        (["road", "sky"], ["car", "road"]),
        (["road", "sky"], ["road", "sky", "tree"]),
        (["road", "sky"], ["road", "Sky"]),
    ],
)
def test_other_classes_are_refused_with_both_lists(network, labels):
    with pytest.raises(ValueError, match=f"the model has {len(network)} classes, mine has {len(labels)}") as error:
        matched(network, labels, what="mine")
    assert f"{', '.join(network)} (the model); {', '.join(labels)} (mine)" in str(error.value)
    assert "\n" not in str(error.value)


def test_long_lists_are_told_by_what_only_one_of_them_has():
    network = [f"thing {index}" for index in range(150)]
    with pytest.raises(ValueError, match="only the model has thing 7; only mine has tree"):
        matched(network, [*network[:7], "tree", *network[8:]], what="mine")


def test_classes_without_names_are_taken_in_order():
    assert not named(["class 0", "class 1"])
    assert named(["class 1", "class 0"])
    assert matched(["class 0", "class 1"], ["road", "sky"], what="mine") is None
    with pytest.raises(ValueError, match="the model has 2 classes, mine has 3"):
        matched(["class 0", "class 1"], ["road", "sky", "tree"], what="mine")


def test_difference_tells_order_from_other_classes():
    assert difference(["a", "b"], ["a", "b"]) == difference(["a"], ["a", "b"]) == ""
    assert difference(["a", "b", "c"], ["a", "c", "b"]) == (
        "the same classes in another order: class 1 is b in the first and c in the second; "
    )
    assert difference(["a", "b"], ["a", "d"]).startswith("other classes: class 1 is b")
