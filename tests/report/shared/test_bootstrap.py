"""The paired bootstrap against a slow loop, and against what is known of simulated networks."""

import time

import numpy as np
import pytest

from segattn.report.shared import bootstrap
from segattn.report.shared.bootstrap import Counts


def simulated(rng, quality, images, classes=3, pixels=400):
    """Label counts and right predictions of networks on the same images: images differ, networks share what is hard."""
    labelled = rng.integers(1, pixels, (images, classes))
    hardness = rng.normal(0, 0.1, (images, classes))
    networks = []
    for mean in quality:
        rate = np.clip(mean + hardness + rng.normal(0, 0.05, hardness.shape), 0, 1)
        right = rng.binomial(labelled, rate)
        networks.append(Counts(right[None], (labelled + rng.poisson(3, labelled.shape))[None]))
    return networks


def everywhere(counts):
    return np.ones(counts.top.shape[1:], bool)


def difference_by_loop(a, b, resamples, seed):
    """Resample by resample, image by image, with the draws in the same order as the definition gives them."""
    rng = np.random.default_rng(seed)
    n, K = a.top.shape[1:]
    draws = rng.integers(0, n, (resamples, n))
    differences = []
    for draw in draws:
        means = []
        for counts in (a, b):
            top, bottom = np.zeros(K), np.zeros(K)
            for image in draw:
                top += counts.top[0, image]
                bottom += counts.bottom[0, image]
            means.append(np.mean([t / u for t, u in zip(top, bottom, strict=True) if u > 0]))
        differences.append(means[0] - means[1])
    return np.percentile(differences, [2.5, 97.5])


def test_interval_is_that_of_a_slow_loop():
    a, b = simulated(np.random.default_rng(1), [0.7, 0.68], images=23)
    a.bottom[:, 5:, 2], a.top[:, 5:, 2] = 0, 0  # a class that some resamples miss
    b.bottom[:, 5:, 2], b.top[:, 5:, 2] = 0, 0
    mean, *_ = bootstrap.difference(a, b, everywhere(a), resamples=101, seed=7)
    np.testing.assert_allclose([mean.low, mean.high], difference_by_loop(a, b, 101, 7), rtol=1e-12)


def test_value_is_the_difference_of_the_data_sets_scores():
    a, b = simulated(np.random.default_rng(2), [0.7, 0.6], images=13)
    expected = [c.top[0].sum(0) / c.bottom[0].sum(0) for c in (a, b)]
    mean, *classes = bootstrap.difference(a, b, everywhere(a), resamples=10)
    assert mean.value == pytest.approx(expected[0].mean() - expected[1].mean())
    np.testing.assert_allclose([d.value for d in classes], expected[0] - expected[1])


def test_a_network_does_not_differ_from_itself():
    (a,) = simulated(np.random.default_rng(3), [0.7], images=17)
    for difference in bootstrap.difference(a, a, everywhere(a)):
        assert (difference.value, difference.low, difference.high, difference.p) == (0, 0, 0, 1)


def test_a_known_shift_is_found_and_its_sign_turns():
    a, b = simulated(np.random.default_rng(4), [0.75, 0.65], images=60)
    ahead, behind = bootstrap.difference(a, b, everywhere(a))[0], bootstrap.difference(b, a, everywhere(a))[0]
    assert 0 < ahead.low < ahead.value < ahead.high
    assert ahead.p < 0.001
    assert (behind.low, behind.high, behind.p) == pytest.approx((-ahead.high, -ahead.low, ahead.p))


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    truth = simulated(np.random.default_rng(5), [0.72, 0.70], images=200_000)
    shift = bootstrap.iou(truth[0])[0] - bootstrap.iou(truth[1])[0]
    covered = rejected = 0
    for trial in range(300):
        a, b = simulated(np.random.default_rng([6, trial]), [0.72, 0.70], images=50)
        difference = bootstrap.difference(a, b, everywhere(a), resamples=500)[0]
        covered += difference.low <= shift <= difference.high
        a, b = simulated(np.random.default_rng([7, trial]), [0.7, 0.7], images=50)
        rejected += bootstrap.difference(a, b, everywhere(a), resamples=500)[0].p < 0.05
    assert 0.90 <= covered / 300 <= 0.98  # 95 % up to three standard errors of 300 trials, and a little for few images
    assert 0.02 <= rejected / 300 <= 0.10


def test_pairing_removes_what_both_networks_find_hard():
    a, b = simulated(np.random.default_rng(8), [0.70, 0.70], images=50)
    shuffled = np.random.default_rng(9).permutation(50)
    apart = Counts(b.top[:, shuffled], b.bottom[:, shuffled])
    paired, unpaired = (bootstrap.difference(a, other, everywhere(a))[0] for other in (b, apart))
    assert paired.value == pytest.approx(unpaired.value)
    assert unpaired.high - unpaired.low > 1.5 * (paired.high - paired.low)


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(10)
    ahead, behind, middle, other = simulated(rng, [0.8, 0.6, 0.7, 0.7], images=40)
    alike = Counts(np.concatenate([middle.top, middle.top]), np.concatenate([middle.bottom, middle.bottom]))
    spread = Counts(np.concatenate([ahead.top, behind.top]), np.concatenate([ahead.bottom, behind.bottom]))
    one, two, wide = (bootstrap.difference(c, other, everywhere(other))[0] for c in (middle, alike, spread))
    assert one.high - one.low == pytest.approx(two.high - two.low, rel=0.05)
    assert wide.high - wide.low > 5 * (one.high - one.low)
    assert wide.low < 0 < wide.high


def test_seed_noise_has_the_variance_of_a_mean_over_seeds():
    rng = np.random.default_rng(11)
    rates = rng.normal(0.7, 0.02, 5)
    bottom = np.full((5, 400, 1), 1000)
    noisy = Counts(np.round(rates[:, None, None] * bottom), bottom)  # no noise between images
    flat = Counts(np.full((1, 400, 1), 700), bottom[:1])
    assert np.var(bootstrap.resampled(noisy, flat)[:, 0]) == pytest.approx(np.var(rates, ddof=1) / 5, rel=0.05)


def test_too_few_images_give_a_value_only():
    a, b = simulated(np.random.default_rng(12), [0.7, 0.6], images=9)
    assert {difference.p for difference in bootstrap.difference(a, b, everywhere(a))} == {None}
    a, b = simulated(np.random.default_rng(12), [0.7, 0.6], images=20)
    occurs = everywhere(a)
    occurs[9:, 1] = False
    mean, *classes = bootstrap.difference(a, b, occurs)
    assert mean.p is not None
    assert [difference.low is None for difference in classes] == [False, True, False]


def test_a_class_without_a_score_has_no_difference():
    a, b = simulated(np.random.default_rng(13), [0.7, 0.6], images=20)
    for counts in (a, b):
        counts.top[..., 1], counts.bottom[..., 1] = 0, 0
    mean, *classes = bootstrap.difference(a, b, everywhere(a))
    assert np.isnan(classes[1].value)
    assert classes[1].p is None
    assert mean.value == pytest.approx((classes[0].value + classes[2].value) / 2)


def test_ten_thousand_resamples_of_500_images_take_seconds_at_most():
    a, b = simulated(np.random.default_rng(14), [0.7, 0.6], images=500, classes=19)
    began = time.process_time()
    bootstrap.difference(a, b, everywhere(a))
    assert time.process_time() - began < 15  # about one on an idle core


@pytest.mark.slow
def test_with_seeds_the_interval_covers_the_truth_where_one_seed_does_not():
    def networks(rng):
        """Two networks, three seeds each, of which none is as good as the next."""
        seeds = simulated(rng, np.concatenate([0.70 + rng.normal(0, 0.015, 3), 0.70 + rng.normal(0, 0.015, 3)]), 50)
        for group in (seeds[:3], seeds[3:]):
            yield Counts(np.concatenate([c.top for c in group]), np.concatenate([c.bottom for c in group]))

    with_seeds = with_one = 0
    for trial in range(200):
        a, b = networks(np.random.default_rng([15, trial]))
        difference = bootstrap.difference(a, b, everywhere(a), resamples=400)[0]
        with_seeds += difference.low <= 0 <= difference.high
        first = [Counts(counts.top[:1], counts.bottom[:1]) for counts in (a, b)]
        difference = bootstrap.difference(*first, everywhere(a), resamples=400)[0]
        with_one += difference.low <= 0 <= difference.high
    assert 0.90 <= with_seeds / 200 <= 1
    assert with_one / 200 < 0.7


@pytest.mark.parametrize("kept", [0, bootstrap._KEPT])
def test_scores_kept_for_many_pairs_give_the_same_p_value(kept, monkeypatch):
    monkeypatch.setattr(bootstrap, "_KEPT", kept)
    monkeypatch.setattr(bootstrap, "_BLOCK", 17 * 300)  # several blocks, the last one shorter
    networks = simulated(np.random.default_rng(12), [0.71, 0.70, 0.69], images=17)
    rare = np.array([1, 1, 0])  # a class of one image is missing from many resamples
    networks.append(Counts(networks[0].top * np.where(np.arange(17)[:, None] == 3, 1, rare), networks[0].bottom * 1))
    networks[-1].bottom[0, :, 2] *= np.arange(17) == 3
    scores = [bootstrap.one_seed_scores(network, resamples=1000) for network in networks]
    for a, b in ((0, 1), (1, 2), (2, 3)):
        differences = bootstrap.resampled(networks[a], networks[b], resamples=1000)[:, 0]
        np.testing.assert_array_equal(scores[a] - scores[b], differences)
        whole = bootstrap.difference(networks[a], networks[b], everywhere(networks[a]), resamples=1000)[0]
        assert bootstrap.p_value(whole.value, scores[a] - scores[b]) == whole.p
