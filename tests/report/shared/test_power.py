"""Power against simulated t statistics; seeds and images needed against the definition."""

import math

import numpy as np
import pytest

from segattn.report.shared import power, student
from segattn.report.shared.twoway import Spread


@pytest.mark.parametrize(("shift", "df"), [(2.9, 1), (5.5, 2), (3.2, 5), (2.9, 40), (0.0, 3)])
def test_power_is_the_share_of_simulated_tests_that_reject(shift, df):
    rng = np.random.default_rng(0)
    t = rng.normal(shift, 1, 200_000) / np.sqrt(rng.chisquare(df, 200_000) / df)
    rejected = (np.abs(t) > student.quantile(0.975, df)).mean()
    assert power.power(shift, 1, df) == pytest.approx(rejected, abs=0.004)  # three standard errors of 200,000 draws


def test_a_paired_t_of_34_pairs_detects_half_a_standard_deviation():
    # Cohen, Statistical Power Analysis, 1988: a paired t test with d = 0.5, 80 % power and 5 % two-sided takes 34 pairs
    assert power.seeds_needed(Spread(1.0, 0.0, 3, None), 0.5) == 34
    assert power.seeds_needed(Spread(1.0, 0.0, 3, None), 1.0) == 10


def test_so_many_seeds_are_enough_and_one_less_is_not():
    spread = Spread(0.006**2, 0.0009**2, 3, 60)
    needed = power.seeds_needed(spread, 0.005)
    reached = [power.power(0.005, math.sqrt(0.006**2 / S + 0.0009**2), spread.degrees(S)) for S in (needed - 1, needed)]
    assert reached[0] < 0.8 <= reached[1]


def test_identical_seeds_need_two():
    assert power.seeds_needed(Spread(0.0, 0.0, 3, 60), 0.005) == 2


def test_images_that_differ_too_much_leave_no_number_of_seeds():
    # with many seeds t has n - 1 degrees: about (1.98 + 0.85)^2 (0.003 / 0.005)^2 60 = 173 images
    spread = Spread(0.004**2, 0.003**2, 3, 60)
    assert power.seeds_needed(spread, 0.005) == math.inf
    images = power.images_needed(spread, 0.005)
    assert images == pytest.approx(173, abs=2)
    assert power.seeds_needed(Spread(0.004**2, 0.003**2 * 60 / images, 3, images), 0.005) > 100
    assert math.isfinite(power.seeds_needed(Spread(0.004**2, 0.003**2 * 60 / (images + 2), 3, images + 2), 0.005))


def test_more_than_a_thousand_seeds_are_not_told_apart():
    assert power.seeds_needed(Spread(1.0, 0.0, 3, None), 0.05) == 1001


def test_images_that_were_not_measured_have_no_number():
    with pytest.raises(ValueError, match="not measured"):
        power.images_needed(Spread(1.0, 0.0, 3, None), 0.5)
