"""Options that count something."""

import pytest

from segattn.heads.parts.counts import check_counts


def test_whole_numbers_of_one_or_more_pass():
    check_counts(recurrence=1, reduction=8)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "2", None])
def test_anything_else_is_named(value):
    with pytest.raises(ValueError, match=f"rank={value!r} is not possible; use 1 or more, a whole number"):
        check_counts(recurrence=1, rank=value)
