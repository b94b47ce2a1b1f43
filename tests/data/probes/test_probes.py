"""Scenes in pairs that differ only in what decides, which is far from the query."""

import pickle

import numpy as np
import pytest

from segattn import data
from segattn.data import probes
from segattn.data.probes.layout import FAR, GRID, TASKS, Box

EVERY = pytest.mark.parametrize("task", TASKS)


def load(task, split="val", count=60, **options):
    return data.load("probes", split, task=task, num_images=count, **options)


@EVERY
def test_the_scenes_of_a_pair_differ_only_where_something_decides_and_have_the_other_class(task):
    dataset = load(task)
    for index in range(0, len(dataset), 2):
        layout, first, second = dataset.reader.layout(index), dataset[index], dataset[index + 1]
        differ = (first.image != second.image).any(2)
        decides = np.zeros_like(differ)
        for box, _ in layout.deciding:
            decides[box.top : box.bottom, box.left : box.right] = True
        assert (differ <= decides).all()
        assert differ.any()
        query = first.label < 2
        assert query.sum() == (layout.query.bottom - layout.query.top) * (layout.query.right - layout.query.left)
        assert (first.label[query] == 1 - second.label[query]).all()
        assert (first.label[~query] == second.label[~query]).all()


@EVERY
def test_what_decides_is_far_in_every_far_condition(task):
    dataset, far = load(task, "train", 400), {each.name: each.far for each in probes.conditions(task)}
    for index in range(0, len(dataset), 2):
        scene, layout = dataset[index], dataset.reader.layout(index)
        other = dataset[index + 1]
        rows, columns = np.nonzero((scene.image != other.image).any(2))
        box = layout.query
        above, left = (
            np.maximum(box.top - rows, rows - box.bottom + 1),
            np.maximum(box.left - columns, columns - box.right + 1),
        )
        nearest = int(np.maximum(above, left).min())
        assert nearest >= layout.gap  # noise can make two colours meet at a pixel, so that it differs nowhere nearer
        if far[probes.condition_of(dataset.image_name(index))]:
            assert layout.gap >= FAR


def test_the_distance_of_two_boxes_is_that_of_their_nearest_pixels():
    box = Box(8, 8, 16, 24)
    assert box.distance(Box(16, 0, 24, 8)) == 1  # they touch at a corner
    assert box.distance(Box(20, 8, 24, 12)) == 5
    assert box.distance(Box(0, 60, 8, 62)) == 37
    assert box.distance(Box(10, 10, 12, 12)) == 0


@EVERY
def test_both_classes_and_all_conditions_occur_equally_often(task):
    own = [condition.name for condition in probes.conditions(task)]
    dataset = load(task, count=4 * len(own))
    names = [probes.condition_of(dataset.image_name(index)) for index in range(len(dataset))]
    assert {name: names.count(name) for name in names} == dict.fromkeys(own, 4)
    labels = [int(sample.label[sample.label < 2][0]) for sample in dataset]
    assert labels.count(0) == labels.count(1)


def test_the_marker_of_reach_lies_as_far_as_the_name_says_straight_or_diagonally():
    dataset = load("reach", count=120)
    for index in range(0, 120, 2):
        layout = dataset.reader.layout(index)
        marker = layout.deciding[0][0]
        apart = sorted((abs(marker.top - layout.query.top) // 8, abs(marker.left - layout.query.left) // 8))
        direction, distance = probes.condition_of(dataset.image_name(index)).split("-")
        assert apart == [int(distance) if direction == "diagonal" else 0, int(distance)]


def test_in_conjunction_each_scene_has_both_colours_at_the_same_places_off_the_edge():
    dataset = load("conjunction")
    for index in range(0, len(dataset), 2):
        layout = dataset.reader.layout(index)
        (in_rows, first), (in_columns, second) = layout.deciding
        assert {first, second} == {0, 1}
        assert in_rows.top == layout.query.top
        assert in_columns.left == layout.query.left
        assert layout.answer == first
        for box in (in_rows, in_columns):
            assert min(box.top, box.left) >= 8
            assert max(box.bottom, box.right) <= 8 * (GRID - 1)


def test_in_compare_the_larger_region_has_the_class_of_the_query():
    dataset = load("compare")
    for index in range(0, len(dataset), 2):
        classes = dataset.reader.classes(index)
        layout = dataset.reader.layout(index)
        classes[layout.query.top : layout.query.bottom, layout.query.left : layout.query.right] = 255
        areas = [int((classes == which).sum()) for which in (0, 1)]
        assert areas.index(max(areas)) == layout.answer
        ratio = float(probes.condition_of(dataset.image_name(index)).removeprefix("ratio-"))
        assert max(areas) / min(areas) == ratio


def test_lines_of_thin_have_the_width_that_the_name_says_and_ground_around_them():
    dataset = load("thin", count=28)
    assert dataset.class_names == ("first", "second", "ground")
    for index in range(28):
        box = dataset.reader.layout(index).query
        sides = {box.bottom - box.top, box.right - box.left}
        assert sides == {int(probes.condition_of(dataset.image_name(index)).removeprefix("width-")), 32}
        assert (dataset[index].label == 2).any()


def test_clutter_of_noise_grows_from_ground_to_the_markers_colours():
    dataset = load("noise", count=10)
    spread = []
    for index in range(0, 10, 2):
        red_less_blue = dataset[index].image.astype(int)[..., 0] - dataset[index].image.astype(int)[..., 2]
        clutter = [box for box, strength in dataset.reader.layout(index).clutter if box.bottom - box.top == 8]
        assert len(clutter) == 40
        spread.append(np.mean([abs(red_less_blue[box.top + 4, box.left + 4]) for box in clutter]))
    assert spread == sorted(spread)
    assert spread[-1] > 100 > 30 > spread[0]


def test_in_training_what_decides_is_labelled_too():
    train, val = (load("reach", split)[0] for split in ("train", "val"))
    assert [int((sample.label != 255).sum()) for sample in (train, val)] == [512, 256]


def test_a_scene_depends_on_seed_split_and_index_alone():
    assert (load("noise", count=4)[3].image == load("noise", count=40)[3].image).all()
    assert (load("noise")[3].image != load("noise", seed=1)[3].image).any()
    assert (load("noise")[3].image != load("noise", "train")[3].image).any()
    reader = pickle.loads(pickle.dumps(load("thin").reader))
    assert (reader(5).label == load("thin")[5].label).all()


def test_wrong_options_are_refused_with_what_is_allowed(tmp_path):
    with pytest.raises(ValueError, match=r"unknown task of the data set probes 'reech'; did you mean reach"):
        load("reech")
    for count in (0, 3):
        with pytest.raises(ValueError, match=rf"num_images {count}; scenes come in pairs, give an even number"):
            load("reach", count=count)
    with pytest.raises(ValueError, match="have no folder; leave out root"):
        load("reach", root=tmp_path)
    with pytest.raises(ValueError, match=r"seed -1; expected 0 or more"):
        load("reach", seed=-1)
