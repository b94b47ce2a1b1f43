import pytest

from segattn.data.files.fractions import checked_fraction, repeated, validation_names

NAMES = [f"frame {index:04}" for index in range(1000)]


def test_share_is_about_the_fraction():
    assert 160 < len(validation_names(NAMES, 0.2, 0)) < 240


def test_new_images_move_no_other():
    before = validation_names(NAMES[:500], 0.2, 0)
    assert validation_names(NAMES, 0.2, 0) & set(NAMES[:500]) == before


def test_order_does_not_matter_and_the_seed_does():
    assert validation_names(reversed(NAMES), 0.2, 0) == validation_names(NAMES, 0.2, 0)
    assert validation_names(NAMES, 0.2, 1) != validation_names(NAMES, 0.2, 0)


def test_a_larger_fraction_takes_the_same_and_more():
    assert validation_names(NAMES, 0.1, 3) < validation_names(NAMES, 0.3, 3)


@pytest.mark.parametrize("fraction", [1e-9, 1 - 1e-9])
def test_each_part_has_one_image_at_least(fraction):
    assert 0 < len(validation_names(NAMES[:3], fraction, 0)) < 3


def test_accents_are_the_same_however_they_are_stored():
    composed = validation_names([f"{name} \u00e9" for name in NAMES], 0.5, 0)
    apart = validation_names([f"{name} e\u0301" for name in NAMES], 0.5, 0)
    assert {name[:10] for name in composed} == {name[:10] for name in apart}


def test_one_image_is_not_enough():
    with pytest.raises(ValueError, match="1 image: a split into training and validation needs two"):
        validation_names(["a"], 0.2, 0)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, True, "0.2"])
def test_fraction_outside_0_to_1_is_refused(fraction):
    with pytest.raises(ValueError, match="give a share between 0 and 1"):
        checked_fraction(fraction, 0, what="mine")


def test_seed_is_a_whole_number():
    with pytest.raises(ValueError, match=r"split_seed=0.5 of data set mine"):
        checked_fraction(0.2, 0.5, what="mine")


def test_names_in_several_folders_are_said_unless_that_is_the_rule():
    assert repeated(["a/1", "b/1", "a/2", "b/3", "b/4"]).startswith("names that occur in several folders: 1;")
    assert repeated(["a/image", "b/image"]) == ""
    assert repeated(["a", "b"]) == ""
