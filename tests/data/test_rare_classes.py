"""Rare class sampling: the probabilities, what is drawn, and the stream of crops that results."""

import numpy as np
import pytest
import torch

from segattn.config import Augmentation
from segattn.data import Dataset, Sample
from segattn.data.loader import TrainingStream
from segattn.data.rare_classes import HOLDS, LEAST, OCCURS, RareClasses, presence
from segattn.training import execution, rare_classes
from tests import tiny


def of(counts, temperature):
    return RareClasses.of(counts.sum(axis=0), presence(counts), temperature)


COUNTS = np.array([[600, 400, 0, 0], [1000, 0, 0, 0], [950, 0, 50, 0], [999, 0, 1, 0]])


@pytest.mark.parametrize("temperature", [0.02, 0.5, 100.0])
def test_classes_are_drawn_with_the_papers_probabilities(temperature):
    shares = COUNTS.sum(axis=0) / COUNTS.sum()
    expected = np.where(shares > 0, np.exp((1 - shares) / temperature), 0)
    rare = of(COUNTS, temperature)
    drawn = np.bincount([rare.draw(0, position)[0] for position in range(4000)], minlength=4) / 4000
    assert drawn == pytest.approx(expected / expected.sum(), abs=0.03)
    assert np.diff(rare.bounds, prepend=0) == pytest.approx(expected / expected.sum())


def test_the_lowest_temperature_draws_the_rarest_class_alone():
    for temperature in (1e-6, 1e-320):
        rare = of(COUNTS, temperature)
        assert {rare.draw(0, position)[0] for position in range(50)} == {2}


def test_samples_hold_the_class_enough_and_are_drawn_evenly():
    rare = of(COUNTS, 100.0)
    drawn = [rare.draw(7, position) for position in range(4000)]
    assert {sample for k, sample in drawn if k == 2} == {2}  # one pixel of a thousand is too little
    evenly = np.bincount([sample for k, sample in drawn if k == 0]) / sum(k == 0 for k, _ in drawn)
    assert evenly == pytest.approx(np.full(4, 0.25), abs=0.04)
    alone = of(np.array([[999, 1], [1000, 0]]), 1.0)
    assert alone.samples[1].tolist() == [0]  # none holds enough of it: all that have any


def test_draws_are_a_pure_function_of_seed_and_position():
    rare = of(COUNTS, 1.0)
    assert [rare.draw(3, 17)] * 3 == [rare.draw(3, 17) for _ in range(3)]
    assert len({rare.draw(seed, 17) for seed in range(40)}) > 1


def test_holding_is_a_share_of_the_labelled_pixels():
    whole = 1000
    least = round(LEAST * whole)
    counts = np.array([[whole - least, least], [whole - least + 1, least - 1], [0, 0]])
    assert presence(counts).tolist() == [[HOLDS, HOLDS], [HOLDS, OCCURS], [0, 0]]


def test_labels_without_a_pixel_are_refused():
    with pytest.raises(ValueError, match="no pixel is labelled"):
        of(np.zeros((3, 2), np.int32), 0.1)


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan")])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(ValueError, match=r"rare_class_sampling=.* should be above 0"):
        of(COUNTS, temperature)


def scenes(count=12, size=64):
    """Class 1 is a square of 8x8 pixels in every fourth image, class 2 is in none."""

    def read(index):
        label = np.zeros((size, size), np.uint8)
        if index % 4 == 0:
            label[40:48, 8:16] = 1
        return Sample(np.repeat(label[..., None] * 90, 3, axis=2), label, str(index))

    return Dataset(
        name="squares",
        split="train",
        class_names=["rest", "square", "never"],
        palette=[(0, 0, 0), (9, 0, 0), (0, 9, 0)],
        image_names=[str(index) for index in range(count)],
        read=read,
        from_files=False,
    )


def stream(rare, max_class_share=1.0, **options):
    crops = Augmentation(
        crop_size=(24, 24), scale_range=(1.0, 1.0), flip=0.5, photometric=False, max_class_share=max_class_share
    )
    return TrainingStream(scenes(), crops, **{"batch_size": 4, "seed": 1, "rare": rare, **options})


def rare_squares():
    counts = np.array([np.bincount(sample.label.reshape(-1), minlength=3) for sample in scenes()])
    return of(counts, 0.05)


def with_square(batches):
    return torch.cat([(batch["label"] == 1).flatten(1).any(dim=1) for batch in batches]).double().mean()


def test_crops_are_drawn_for_the_class():
    rare = list(stream(rare_squares()).batches(0, 60))
    usual = list(stream(None).batches(0, 60))
    assert all(index % 4 == 0 for batch in rare for index in batch["indices"])
    assert with_square(usual) < 0.15
    assert with_square(rare) > 0.85
    for batch in rare:  # image and label are cut and flipped alike
        bright = batch["image"][:, 0] > batch["image"][:, 0].amin()
        assert torch.equal(bright & (batch["label"] == 1).flatten(1).any(dim=1)[:, None, None], batch["label"] == 1)


def test_resuming_ranks_and_workers_change_nothing():
    rare = rare_squares()
    whole = list(stream(rare).batches(0, 5))
    resumed = list(stream(rare).batches(3, 5))
    loaded = list(stream(rare, num_workers=1).batches(0, 5))
    shares = [list(stream(rare, rank=rank, world_size=2).batches(0, 5)) for rank in range(2)]
    for number, batch in enumerate(whole):
        assert torch.equal(loaded[number]["image"], batch["image"])
        assert torch.equal(torch.cat([share[number]["image"] for share in shares]), batch["image"])
        if number >= 3:
            assert torch.equal(resumed[number - 3]["image"], batch["image"])


def test_both_conditions_on_crops_hold_at_once():
    def large(**options):  # squares that cover a tenth of the crop
        batches = stream(rare_squares(), **options).batches(0, 60)
        return torch.cat([(batch["label"] == 1).flatten(1).sum(dim=1) > 57 for batch in batches]).double().mean()

    assert large(max_class_share=0.9) > large() + 0.2
    assert with_square(stream(None, max_class_share=0.9).batches(0, 60)) < 0.3


def test_what_is_counted_are_the_labels_that_are_drawn():
    config = tiny.experiment(optimization={"rare_class_sampling": 0.05})
    accelerator, dataset, told = execution.accelerator("fp32", "cpu"), scenes(), []
    rare = rare_classes.sampling(config, dataset, None, accelerator, told.append)
    expected = rare_squares()
    assert np.array_equal(rare.bounds, expected.bounds)
    assert all(np.array_equal(a, b) for a, b in zip(rare.samples, expected.samples, strict=True))
    rare_classes.sampling(config, dataset, None, accelerator, told.append)
    assert told == ["rare class sampling: counting the labels of 12 images"]
    assert rare_classes.sampling(tiny.TINY, dataset, None, accelerator) is None
    empty = Dataset(
        name="empty",
        split="train",
        class_names=["a"],
        palette=[(0, 0, 0)],
        image_names=["x"],
        read=lambda index: Sample(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 255, np.uint8), "x"),
        from_files=False,
    )
    with pytest.raises(ValueError, match="empty train: no pixel is labelled"):
        rare_classes.sampling(config, empty, None, accelerator)
