"""Figures as text."""

import pytest

from segattn.report.shared import text


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0123, "+1.23"), (-0.0123, "−1.23"), (0.0, "0.00"), (-0.00001, "0.00")]
)
def test_differences_are_signed_unless_zero(value, expected):
    assert text.points(value) == expected


def test_an_interval_has_both_ends_in_points_or_none():
    assert text.interval_text(-0.0012, 0.0153) == "−0.12, 1.53"
    assert text.interval_text(None, None) == "–"
