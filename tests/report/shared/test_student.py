"""Against tables of Student's t and worked examples."""

import math

import pytest

from segattn.report.shared import student


@pytest.mark.parametrize(("df", "expected"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (10, 2.2281), (120, 1.9799)])
def test_quantiles_agree_with_the_printed_table(df, expected):
    assert student.quantile(0.975, df) == pytest.approx(expected, abs=5e-5)


def test_one_degree_of_freedom_is_the_cauchy_distribution():
    for t in (-7.0, -0.3, 0.0, 1.1, 13.0):
        assert student.distribution(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-12)


def test_interval_of_three_values_by_hand():
    low, high = student.mean_interval([0.70, 0.72, 0.74])  # s = 0.02, half width = 4.3027 * 0.02 / sqrt(3)
    assert (low, high) == (pytest.approx(0.72 - 0.049683, abs=1e-6), pytest.approx(0.72 + 0.049683, abs=1e-6))


def test_one_value_has_neither_spread_nor_interval():
    assert student.deviation([0.5]) is None
    assert student.mean_interval([0.5]) is None
    assert student.difference([0.5], [0.3, 0.4]).p is None


def test_welch_by_hand():
    # means 3 and 6, variances 1 and 4 over 3: error^2 = 5/3, t = -3 / 1.29099, df = (5/3)^2 / ((1/9 + 16/9) / 2) = 2.9412
    difference = student.difference([2, 3, 4], [4, 6, 8])
    assert difference.value == -3
    assert difference.high - difference.low == pytest.approx(2 * student.quantile(0.975, 50 / 17) * math.sqrt(5 / 3))
    assert difference.p == pytest.approx(2 * student.distribution(-3 / math.sqrt(5 / 3), 50 / 17))
    assert 0.10 < difference.p < 0.11  # t tables: 2.353 at 0.10 for df = 3


def test_equal_runs_do_not_divide_by_zero():
    assert student.difference([0.5, 0.5], [0.5, 0.5]).p == 1
    assert student.difference([0.6, 0.6], [0.5, 0.5]).p == 0


def test_holm_multiplies_the_smallest_by_the_number_of_comparisons_and_stays_monotone():
    assert student.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert student.holm([0.9, 0.8]) == [1.0, 1.0]


def test_paired_t_by_hand():
    # differences 1, 2, 6: mean 3, variance 7, error sqrt(7 / 3), 2 degrees of freedom
    difference = student.paired([2, 4, 9], [1, 2, 3])
    half = 4.30265 * math.sqrt(7 / 3)
    assert (difference.value, difference.low, difference.high) == pytest.approx((3, 3 - half, 3 + half), abs=1e-4)
    # for two degrees of freedom the tail is (1 - t / sqrt(2 + t^2)) / 2
    t = 3 / math.sqrt(7 / 3)
    assert difference.p == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_one_pair_has_a_difference_only():
    difference = student.paired([0.5], [0.3])
    assert (difference.value, difference.low, difference.p) == (pytest.approx(0.2), None, None)


def test_pairs_are_of_equal_number():
    with pytest.raises(ValueError, match="not 2 and 3"):
        student.paired([1, 2], [1, 2, 3])
