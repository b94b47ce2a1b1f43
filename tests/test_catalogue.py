from segattn.catalogue import hint


def test_as_many_names_as_asked_for_nearest_first():
    known = ["ccnet", "danet", "dnlnet", "fcn"]
    assert hint("dannet", known) == "did you mean danet or dnlnet? "
    assert hint("dannet", known, most=1) == "did you mean danet? "


def test_nothing_near_is_no_hint():
    assert hint("street", ["ccnet"]) == ""
    assert hint(7, []) == ""
