"""The finding says no more than the seeds allow."""

import dataclasses

import pytest

from segattn import records, report
from segattn.report.study import words
from tests.report import fabricate


def study_of(folder, **values):
    """A study whose heads have the given mean IoU in each seed."""
    for head, scores in values.items():
        for seed, mean_iou in enumerate(scores):
            path = folder / f"{head}{seed}"
            record = fabricate.run(head, seed, path, images=0)
            changed = dataclasses.replace(record, scores=dataclasses.replace(record.scores, mean_iou=mean_iou))
            records.write(changed, path / "record.json")
    return report.load(folder)


def test_one_run_is_not_compared(tmp_path):
    text = " ".join(words.finding(study_of(tmp_path, ccnet=[0.4567])))
    assert "ccnet reaches 45.67 % mIoU on streets val (53 images), one seed." in text
    assert "no other network" in text


def test_one_seed_is_called_an_observation(tmp_path):
    text = " ".join(words.finding(study_of(tmp_path, fcn=[0.40], ccnet=[0.43], danet=[0.42])))
    assert "ccnet has the highest mIoU" in text
    assert "1.00 points above danet, 3.00 points above the fcn baseline" in text
    assert "not as a ranking" in text


def test_seeds_that_overlap_do_not_tell(tmp_path):
    text = " ".join(words.finding(study_of(tmp_path, danet=[0.40, 0.46], ccnet=[0.44, 0.44])))
    assert "too few seeds to distinguish it from any other network" in text


def test_seeds_that_agree_tell(tmp_path):
    study = study_of(tmp_path, fcn=[0.30, 0.301, 0.302], danet=[0.40, 0.401, 0.402], ccnet=[0.47, 0.471, 0.472])
    text = " ".join(words.finding(study))
    assert "larger than seed-to-seed variation" in text
    assert "2 of 2 attention networks are above the fcn baseline, all of them distinguishably (" in text


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (
            {"danet": 0.4, "ccnet": 0.2},
            "1 of 2 {} above the fcn baseline, distinguishably; ccnet is distinguishably below",
        ),
        (
            {"danet": 0.2, "ccnet": 0.1, "emanet": 0.3001},
            "1 of 3 {} above the fcn baseline, not distinguishably; 2 of the 2",
        ),
        (
            {"danet": 0.2999, "ccnet": 0.2998},
            "0 of 2 {} above the fcn baseline; none of the 2 others is distinguishably below",
        ),
        (
            {"danet": 0.2999, "ccnet": 0.4},
            "1 of 2 {} above the fcn baseline, distinguishably; danet is not distinguishably",
        ),
    ],
)
def test_above_and_below_are_told_apart_where_the_seeds_allow_it(tmp_path, scores, sentence):
    noise = (-0.002, 0.0, 0.002)
    runs = {name: [mean + each for each in noise[::-1]] for name, mean in scores.items()}
    text = " ".join(words.finding(study_of(tmp_path, fcn=[0.3 + each for each in noise], **runs)))
    assert sentence.format("attention networks are") in text


def test_a_mechanism_that_does_not_help_is_named(tmp_path):
    text = " ".join(words.finding(study_of(tmp_path, fcn=[0.42], danet=[0.41], ccnet=[0.43])))
    assert "1 of 2 attention networks are above the fcn baseline (danet is not)" in text


def test_context_without_attention_is_no_attention_network_but_is_compared_too(tmp_path):
    text = " ".join(words.finding(study_of(tmp_path, fcn=[0.42], danet=[0.45], psp=[0.43], aspp=[0.40])))
    assert "1 of 1 attention network is above the fcn baseline." in text
    assert (
        "With context but without attention, psp is 1.00 points above and aspp is 2.00 points below the fcn baseline."
        in text
    )


def test_a_study_of_baselines_alone_says_how_far_apart_they_are(tmp_path):
    text = " ".join(words.finding(study_of(tmp_path, fcn=[0.42], psp=[0.43])))
    assert "attention network is" not in text
    assert "With context but without attention, psp is 1.00 points above the fcn baseline." in text


def test_equal_scores_are_level(tmp_path):
    assert "level with danet" in words.finding(study_of(tmp_path, ccnet=[0.41], danet=[0.41]))[0]


def test_a_gain_too_small_to_print_is_no_gain(tmp_path):
    text = " ".join(words.finding(study_of(tmp_path, ccnet=[0.41001], fcn=[0.41])))
    assert "0 of 1 attention network is above the fcn baseline (ccnet is not)" in text


def test_accuracy_and_cost_of_different_networks_are_told_apart(ten_by_three):
    notes = " ".join(words.cost_notes(report.load(ten_by_three)))
    assert "resnet101, output stride 8, 19 classes, input 769×769" in notes
    assert "networks trained here: resnet18, output stride 8, 19 classes, input 97×193" in notes
