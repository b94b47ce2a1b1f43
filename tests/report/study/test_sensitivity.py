"""What half a point would need, from studies whose differences are known."""

import dataclasses
import math

import pytest

from segattn import report
from segattn.report.shared import power
from segattn.report.shared.twoway import Spread
from segattn.report.study import certainty
from segattn.report.study.sensitivity import sensitivity
from tests.report import fabricate
from tests.report.study.test_words import study_of


def note(study, baseline="the fcn baseline"):
    (text,) = certainty.sensitivity_note(study, baseline)
    return text


def measured(study, *spreads):
    """The study with other spreads of its differences."""
    replaced = {
        label: dataclasses.replace(contrast, spread=spread)
        for (label, contrast), spread in zip(study.contrasts.items(), spreads, strict=True)
    }
    study.__dict__["contrasts"] = replaced
    return study


def test_variances_are_pooled_over_the_rows(ten_by_three):
    study = report.load(ten_by_three)
    spreads = [contrast.spread for contrast in study.contrasts.values()]
    needs = sensitivity(study)
    assert (needs.num_rows, needs.spread.num_seeds, needs.spread.num_images) == (9, 3, 53)
    assert needs.spread.between_seeds == pytest.approx(sum(s.between_seeds for s in spreads) / 9)
    assert needs.spread.between_images == pytest.approx(sum(s.between_images for s in spreads) / 9)


def test_seeds_needed_are_in_the_footnotes(ten_by_three):
    study = report.load(ten_by_three)
    seeds = power.seeds_needed(sensitivity(study).spread, 0.005)
    assert f"takes about {seeds} seeds on these 53 images; there are 3." in note(study)
    assert note(study) in report.study.words.footnotes(study)


def test_only_the_seeds_are_known_where_the_images_are_not(tmp_path):
    # differences 1, 2 and 3 points: standard deviation 1.00 point, 34 pairs for half of it (Cohen 1988)
    study = study_of(tmp_path, ccnet=[0.41, 0.42, 0.43], fcn=[0.40, 0.40, 0.40])
    text = note(study)
    assert (
        "Detecting a difference of 0.50 points (80 % power, two-sided 5 % level, one comparison) takes about 34 seeds;"
        in text
    )
    assert "varies from seed to seed by 1.00 points (standard deviation); the choice of images is not included." in text


def test_images_that_hide_half_a_point_are_said_to_be_too_few(tmp_path):
    study = report.load(fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=2, with_cost=False))
    text = note(measured(study, Spread(0.004**2, 0.003**2, 2, 60)))
    images = power.images_needed(Spread(0.004**2, 0.003**2, 2, 60), 0.005)
    assert text.startswith("No number of seeds detects a difference of 0.50 points on these 60 images (80 % power,")
    assert f"at least {images} images are needed" in text
    assert "a standard error of 0.30 points, which more seeds do not reduce" in text


def test_thousands_of_seeds_are_not_counted(tmp_path):
    study = study_of(tmp_path, ccnet=[0.30, 0.60], fcn=[0.40, 0.40])
    assert "takes more than 1,000 seeds; there are 2." in note(study)


def test_one_seed_and_unpaired_seeds_measure_nothing(tmp_path):
    assert sensitivity(study_of(tmp_path / "one", ccnet=[0.41], fcn=[0.40])) is None
    assert sensitivity(study_of(tmp_path / "two", ccnet=[0.41, 0.42, 0.43], fcn=[0.40, 0.41])) is None


def test_without_a_baseline_the_first_row_is_the_reference(tmp_path):
    study = study_of(tmp_path, ccnet=[0.41, 0.42, 0.43], danet=[0.40, 0.40, 0.40])
    assert not study.contrasts
    assert math.isfinite(sensitivity(study).seeds)
    assert "the paired difference to the first row varies from seed to seed by 1.00 points" in note(study)
