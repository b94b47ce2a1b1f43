import subprocess
import sys

import numpy as np
import pytest
import torch

from segattn.config import Augmentation
from segattn.data import Dataset, Sample, streets
from segattn.data.loader import EvaluationStream, TrainingStream

AUGMENT = Augmentation(crop_size=(23, 29), max_class_share=0.75)


def stream(**options):
    dataset = streets.load("train", height=32, width=64, num_images=7)
    return TrainingStream(dataset, AUGMENT, **{"batch_size": 6, "seed": 3, **options})


def same(a, b):
    return (
        torch.equal(a["image"], b["image"])
        and torch.equal(a["label"], b["label"])
        and (a["names"], a["indices"]) == (b["names"], b["indices"])
    )


def of_sizes(*sizes, labelled=True):
    def read(index):
        height, width = sizes[index]
        label = np.full((height, width), index, np.uint8) if labelled else None
        return Sample(np.zeros((height, width, 3), np.uint8), label, str(index))

    names = [str(index) for index in range(len(sizes))]
    return Dataset(
        name="toy", split="val", class_names=["c"], palette=[(0, 0, 0)], image_names=names, read=read, from_files=False
    )


def test_a_batch_has_the_documented_types_and_shapes():
    batch = next(stream().batches())
    assert batch["image"].shape == (6, 3, 23, 29)
    assert batch["image"].dtype == torch.float32
    assert batch["label"].shape == (6, 23, 29)
    assert batch["label"].dtype == torch.int64
    assert batch["names"] == [f"train-{index:06d}" for index in batch["indices"]]


def test_each_epoch_holds_every_sample_once_in_another_order():
    training = stream()
    epochs = [[training.sample_index(7 * epoch + offset) for offset in range(7)] for epoch in range(5)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_two_seeds_give_two_orders_and_two_augmentations():
    assert not same(next(stream(seed=1).batches()), next(stream(seed=2).batches()))


def test_one_sample_twice_is_augmented_twice():
    single = TrainingStream(streets.load("train", height=32, width=64, num_images=1), AUGMENT, batch_size=2)
    image = next(single.batches())["image"]
    assert not torch.equal(image[0], image[1])


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 1, 5])
def test_resuming_gives_the_batches_that_were_to_come(start):
    whole = list(stream().batches(0, 7))
    resumed = list(stream().batches(start, 7))
    assert len(resumed) == 7 - start
    assert all(same(a, b) for a, b in zip(whole[start:], resumed, strict=True))


@pytest.mark.parametrize("world_size", [2, 3])
def test_shares_of_all_ranks_make_up_the_batch_of_one_process(world_size):
    whole = list(stream().batches(2, 5))
    shares = [list(stream(rank=rank, world_size=world_size).batches(2, 5)) for rank in range(world_size)]
    for iteration, batch in enumerate(whole):
        parts = [share[iteration] for share in shares]
        assert torch.equal(torch.cat([part["image"] for part in parts]), batch["image"])
        assert torch.equal(torch.cat([part["label"] for part in parts]), batch["label"])
        assert [name for part in parts for name in part["names"]] == batch["names"]


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_nothing(num_workers):
    inline = list(stream().batches(1, 5))
    loaded = list(stream(num_workers=num_workers).batches(1, 5))
    assert all(same(a, b) for a, b in zip(inline, loaded, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_stream_leaves_the_global_generators_alone(num_workers):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 (the legacy generator is what must stay untouched)
    expected = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    list(stream(num_workers=num_workers).batches(0, 2))
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert np.random.get_state()[1].tolist() == expected[1]  # noqa: NPY002


def test_an_error_in_a_worker_names_the_sample():
    training = TrainingStream(of_sizes((5, 7), labelled=False), AUGMENT, batch_size=1, num_workers=1)
    with pytest.raises(ValueError, match="0 has no label"):
        next(training.batches())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size 0"),
        ({"batch_size": 5, "world_size": 2}, "batch_size 5 cannot be shared by 2 processes"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_settings_that_make_no_sense_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        stream(**options)


def test_an_empty_split_cannot_train():
    with pytest.raises(ValueError, match="toy val is empty"):
        TrainingStream(of_sizes(), AUGMENT, batch_size=1)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 3, 11])
def test_every_image_is_evaluated_exactly_once(world_size, num_workers):
    if num_workers and world_size != 3:
        pytest.skip("workers are tried with one number of processes; they are slow to start")
    dataset = of_sizes(*[(5, 7)] * 8)
    shares = [
        EvaluationStream(dataset, batch_size=3, rank=rank, world_size=world_size, num_workers=num_workers)
        for rank in range(world_size)
    ]
    seen = [index for share in shares for batch in share for index in batch["indices"]]
    assert sorted(seen) == list(range(8))
    assert sum(len(share) for share in shares) == 8


def test_images_come_together_only_with_neighbours_of_their_size():
    batches = list(EvaluationStream(of_sizes((5, 7), (5, 7), (5, 7), (7, 5), (5, 7)), batch_size=2))
    assert [batch["indices"] for batch in batches] == [[0, 1], [2], [3], [4]]
    assert batches[2]["image"].shape == (1, 3, 7, 5)
    assert batches[2]["label"].unique().tolist() == [3]


def test_a_split_without_labels_can_be_evaluated_for_its_predictions():
    batch = next(iter(EvaluationStream(of_sizes((5, 7), labelled=False))))
    assert batch["label"] is None
    assert batch["names"] == ["0"]


def test_limit_takes_the_first_images():
    evaluated = EvaluationStream(of_sizes(*[(5, 7)] * 8), batch_size=2, limit=3, rank=1, world_size=2)
    assert [batch["indices"] for batch in evaluated] == [[1]]
    with pytest.raises(ValueError, match="limit 0"):
        EvaluationStream(of_sizes((5, 7)), limit=0)


HALF_READ = """
import os, signal, subprocess, time
from segattn.data import streets
from segattn.data.loader import TrainingStream
from segattn.config import Augmentation


dataset = streets.load("train", height=32, width=64, num_images=4)
batches = TrainingStream(dataset, Augmentation(crop_size=(16, 16)), batch_size=2, num_workers=1).batches()
next(batches)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.run(["kill", "-TERM", "--", f"-{os.getpgid(0)}"])  # as a batch system does: the worker goes on
time.sleep(0.5)
for _ in range(5):
    next(batches)
print("leaving", flush=True)
"""


@pytest.mark.slow
def test_workers_outlive_a_signal_to_the_group_and_end_with_a_half_read_stream():
    answer = subprocess.run(
        [sys.executable, "-c", HALF_READ], capture_output=True, text=True, timeout=120, start_new_session=True
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "leaving\n"
