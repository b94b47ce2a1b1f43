import pytest

from segattn.report.probes import table
from tests.report.probes.fabricated import record


def test_networks_stand_in_the_order_of_the_grid_and_settings_apart():
    assert table.variants(record()) == ["fcn", "ccnet R=1"]
    assert {name: len(conditions) for name, conditions in table.series(record()).items()} == {
        "straight": 2,
        "diagonal": 1,
    }


def test_mean_and_interval_are_students():
    mean, half = table.interval(record(), "fcn", "straight-3")
    assert mean == pytest.approx(95)
    assert half == pytest.approx(12.7062 * 5, abs=0.01)  # t(0.975, 1) times s / sqrt(2) = 7.071 / 1.414
    assert table.cell(record(), "fcn", "straight-3") == "95 ±64"
    assert table.interval(record(), "ccnet R=1", "straight-3") == (100.0, None)
    assert table.cell(record(), "ccnet R=1", "straight-3") == "100"


def test_purity_is_beside_that_of_attention_to_all_places():
    heading, body = table.purity_rows(record(), "straight")
    assert heading == ["network: map", "3", "7"]
    assert body == [["ccnet R=1: round_1", "25", "50"], ["all places alike", "3", "3"]]


def test_text_names_what_is_missing_and_fits_a_terminal():
    text = table.text(record())
    assert "1 of 4 runs are missing: ccnet R=1, seed 1" in text
    assert "reach: accuracy %, by straight (cells of 8 pixels); chance 50 %" in text
    assert "sees 35 pixels" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "missing" not in table.text(record(planned=[("fcn", 0), ("fcn", 1), ("ccnet R=1", 0)]))


def test_floor_of_an_iou_is_no_chance():
    text = table.text(record(task="thin", measure="iou", chance=1 / 3))
    assert "thin: iou %, by straight (cells of 8 pixels); the most without seeing what decides 33 %" in " ".join(
        text.split()
    )
    assert "chance" not in text


def test_many_names_are_shortened():
    assert table.shortened(list("abcdefgh")) == "a; b; c; d; e; f; and 2 more"
    assert table.shortened(["a"]) == "a"
