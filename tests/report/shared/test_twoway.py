"""The two-way analysis against slow loops, and its intervals on simulated networks."""

import math

import numpy as np
import pytest

from segattn.report.shared import bootstrap, student, twoway
from segattn.report.shared.bootstrap import Counts
from segattn.report.shared.twoway import Spread
from tests.report.shared import coverage
from tests.report.shared.coverage import KINDS, Setting, networks

EXAMPLE = Setting(3, 17, 0.05, 0.3, 0.3, classes=5)


def everywhere(counts):
    return np.ones(counts.top.shape[1:], bool)


def example(seed=1):
    return networks(EXAMPLE, np.random.default_rng(seed))


def mean_iou_by_loop(counts, seed, images):
    """Of one seed on some images: sums first, then the mean over the classes that occur."""
    values = []
    for c in range(counts.top.shape[2]):
        top = sum(int(counts.top[seed, i, c]) for i in images)
        bottom = sum(int(counts.bottom[seed, i, c]) for i in images)
        if bottom:
            values.append(top / bottom)
    return sum(values) / len(values)


def pseudo_values_by_loop(a, b):
    """Leave one image out at a time."""
    S, n = a.top.shape[:2]
    table = [[0.0] * n for _ in range(S)]
    for s in range(S):
        whole = mean_iou_by_loop(a, s, range(n)) - mean_iou_by_loop(b, s, range(n))
        without = []
        for left_out in range(n):
            images = [i for i in range(n) if i != left_out]
            without.append(mean_iou_by_loop(a, s, images) - mean_iou_by_loop(b, s, images))
        for i in range(n):
            table[s][i] = whole + (n - 1) * (sum(without) / n - without[i])
    return table


def mean_squares_by_loop(table):
    """Of seeds, images and interaction, by the textbook."""
    S, n = len(table), len(table[0])
    grand = sum(map(sum, table)) / (S * n)
    rows = [sum(line) / n for line in table]
    columns = [sum(line[i] for line in table) / S for i in range(n)]
    seeds = n * sum((row - grand) ** 2 for row in rows) / (S - 1)
    images = S * sum((column - grand) ** 2 for column in columns) / (n - 1)
    rest = 0.0
    for s in range(S):
        for i in range(n):
            rest += (table[s][i] - rows[s] - columns[i] + grand) ** 2
    return seeds, images, rest / ((S - 1) * (n - 1))


def test_pseudo_values_are_those_of_a_slow_loop():
    a, b = example()
    a.top[:, 1:, 4], a.bottom[:, 1:, 4] = 0, 0  # a class that is missing where image 0 is left out
    np.testing.assert_allclose(twoway.pseudo_values(a, b)[..., 0], pseudo_values_by_loop(a, b), rtol=1e-9, atol=1e-12)


def test_a_class_alone_is_the_same_analysis():
    a, b = example()
    alone = [Counts(counts.top[..., 2:3], counts.bottom[..., 2:3]) for counts in (a, b)]
    np.testing.assert_allclose(twoway.pseudo_values(a, b)[..., 3], pseudo_values_by_loop(*alone), rtol=1e-9, atol=1e-12)


def test_interval_is_that_of_the_mean_squares():
    a, b = example()
    S, n = 3, 17
    seeds, images, rest = mean_squares_by_loop(pseudo_values_by_loop(a, b))
    assert images > rest
    of_seeds, of_images = seeds / (S * n), (images - rest) / (S * n)
    df = (of_seeds + of_images) ** 2 / (of_seeds**2 / 2 + of_images**2 / 16)
    half = student.quantile(0.975, df) * math.sqrt(of_seeds + of_images)
    value = sum(mean_iou_by_loop(a, s, range(n)) - mean_iou_by_loop(b, s, range(n)) for s in range(S)) / S
    mean, *_ = twoway.difference(a, b, everywhere(a))
    assert (mean.value, mean.low, mean.high) == pytest.approx((value, value - half, value + half))
    assert mean.p == pytest.approx(2 * (1 - student.distribution(abs(value) / math.sqrt(of_seeds + of_images), df)))


def test_components_of_a_table_by_hand():
    # rows 1 and 3, columns 0, 1, 5: means 2 and 4 over seeds; MS_S = 3 * 2 = 6; MS_I = 2 * 7 = 14; no interaction
    spread = twoway.analysis(np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 7.0]]))
    assert spread == Spread(2.0, pytest.approx(14 / 6), 2, 3)  # V_S = 6 / 6, so 2 from seed to seed
    assert spread.variance() == pytest.approx(1 + 14 / 6)
    assert spread.degrees() == pytest.approx((1 + 14 / 6) ** 2 / (1 / 1 + (14 / 6) ** 2 / 2))


def test_an_interaction_above_that_of_images_leaves_the_seeds_alone():
    a, b = 1.0, -1.0
    spread = twoway.analysis(np.array([[a, b], [b, a]]))  # nothing but interaction: MS_S = MS_I = 0
    assert spread == Spread(0.0, 0.0, 2, 2)


def test_seeds_alone_are_the_paired_t():
    a, b = example()
    by_seed = [[mean_iou_by_loop(counts, s, range(17)) for s in range(3)] for counts in (a, b)]
    differences = [first - second for first, second in zip(*by_seed, strict=True)]
    assert twoway.analysis(twoway.pseudo_values(a, b)[..., 0]).between_seeds == pytest.approx(
        np.var(differences, ddof=1)
    )


def test_more_seeds_shrink_the_part_of_the_seeds_only():
    spread = Spread(0.09, 0.01, 3, 50)
    assert [spread.variance(S) for S in (1.0, 9, math.inf)] == pytest.approx([0.1, 0.02, 0.01])
    assert spread.degrees(math.inf) == pytest.approx(49)
    assert Spread(0.09, 0.0, 3, None).degrees(5) == pytest.approx(4)


def common_effect(counts, effect):
    """The same networks with fewer right pixels: seed s keeps a share 1 - effect[s] of them."""
    return Counts(np.round(counts.top * (1 - np.array(effect))[:, None, None]), counts.bottom)


def width(difference):
    return difference.high - difference.low


def test_pairing_narrows_the_interval_where_seeds_do_the_same_to_both_networks():
    a, b = (common_effect(counts, [0.0, 0.1, 0.2]) for counts in example())
    paired = twoway.difference(a, b, everywhere(a))[0]
    unpaired = bootstrap.difference(a, b, everywhere(a), resamples=2000)[0]
    by_seed = [bootstrap.with_mean(counts.top.sum(1), counts.bottom.sum(1))[:, 0].tolist() for counts in (a, b)]
    welch = student.difference(*by_seed)
    assert width(paired) < 0.4 * min(width(unpaired), width(welch))
    assert width(student.paired(*by_seed)) < 0.4 * width(welch)


def test_pairing_does_not_narrow_it_where_seeds_do_different_things():
    a, b = (common_effect(c, effect) for c, effect in zip(example(), ([0.0, 0.1, 0.2], [0.2, 0.1, 0.0]), strict=True))
    paired = twoway.difference(a, b, everywhere(a))[0]
    assert width(paired) > width(bootstrap.difference(a, b, everywhere(a), resamples=2000)[0])


def test_the_order_of_seeds_makes_no_difference_as_long_as_it_is_the_same():
    a, b = example()
    turned = [Counts(counts.top[[2, 0, 1]], counts.bottom[[2, 0, 1]]) for counts in (a, b)]
    straight = twoway.difference(a, b, everywhere(a))[0]
    again = twoway.difference(*turned, everywhere(a))[0]
    assert (again.value, again.low, again.p) == pytest.approx((straight.value, straight.low, straight.p))
    swapped = twoway.difference(a, turned[1], everywhere(a))[0]
    assert swapped.value == pytest.approx(straight.value)
    assert swapped.low != pytest.approx(straight.low, rel=1e-3)


def test_the_sign_turns_with_the_networks():
    a, b = example()
    ahead, behind = (twoway.difference(*pair, everywhere(a))[0] for pair in ((a, b), (b, a)))
    assert (behind.low, behind.high, behind.p) == pytest.approx((-ahead.high, -ahead.low, ahead.p))


def test_a_network_does_not_differ_from_itself():
    a, _ = example()
    for difference in twoway.difference(a, a, everywhere(a)):
        assert (difference.value, difference.low, difference.high, difference.p) == (0, 0, 0, 1)


def test_too_few_images_give_a_value_only():
    a, b = networks(Setting(3, 9, 0, 0.3, 0.3), np.random.default_rng(2))
    assert {difference.p for difference in twoway.difference(a, b, everywhere(a))} == {None}
    a, b = example()
    occurs = everywhere(a)
    occurs[9:, 1] = False
    assert [difference.low is None for difference in twoway.difference(a, b, occurs)] == [False, False, True] + 3 * [
        False
    ]


def test_a_class_without_a_score_has_no_difference():
    a, b = example()
    for counts in (a, b):
        counts.top[..., 1], counts.bottom[..., 1] = 0, 0
    mean, *classes = twoway.difference(a, b, everywhere(a))
    assert np.isnan(classes[1].value)
    assert classes[1].p is None
    assert mean.value == pytest.approx(np.mean([c.value for c in (classes[0], *classes[2:])]))


@pytest.mark.parametrize("seeds", [(3, 2), (1, 1)])
def test_other_numbers_of_seeds_are_refused(seeds):
    a, b = (Counts(c.top[:S], c.bottom[:S]) for c, S in zip(example(), seeds, strict=True))
    with pytest.raises(ValueError, match=f"not {seeds[0]} and {seeds[1]}; use bootstrap"):
        twoway.pseudo_values(a, b)


@pytest.mark.slow
def test_intervals_cover_the_truth_where_those_over_seeds_or_images_alone_do_not():
    # 300 data sets: 95 % up to three standard errors is 91.2 to 98.8 %
    of_images = coverage.coverage(Setting(3, 40, *KINDS["images"], classes=4), 300)
    of_seeds = coverage.coverage(Setting(3, 40, *KINDS["seeds"], classes=4), 300)
    for shares in (of_images, of_seeds):
        assert 0.91 <= shares["two-way, jackknife"] <= 0.99
    assert of_images["paired t over seeds"] < 0.8
    assert of_seeds["jackknife over images"] < 0.8


@pytest.mark.long
@pytest.mark.parametrize(("seeds", "images"), [(3, 100), (5, 40)])
@pytest.mark.parametrize("kind", KINDS)
def test_coverage_is_92_to_97_per_cent(seeds, images, kind):
    share = coverage.coverage(Setting(seeds, images, *KINDS[kind]), 600)["two-way, jackknife"]
    assert 0.915 <= share <= 0.98  # 92 to 97 %, plus one standard error of 600 trials
