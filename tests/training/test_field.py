"""How far a network without a mechanism sees, against sums worked out by hand."""

from dataclasses import replace

import pytest

from segattn import experiments
from segattn.training.field import sees

PROBE = experiments.load("probe").model


def network(backbone="patches", **options):
    return replace(PROBE, backbone=backbone, backbone_options={"width": 2, **options})


def test_patches_see_three_positions_and_the_interpolated_one_to_each_side():
    # A pixel is interpolated from its own position and a neighbour, 3 convolutions of 3x3 reach 3 positions further: 4 * 8 + 3.
    assert sees(network()) == 35


@pytest.mark.parametrize("field", [51, 103 - 4])
def test_a_receptive_field_adds_its_half(field):
    # The position of stage 4 at 8 i sees 8 i - (field - 1) / 2 to 8 i + (field - 1) / 2; the farthest position whose logits a
    # pixel takes is 8 i - 4.5 or 8 i + 3.5 away (upsampling puts it at 8 i + 3.5), and the head reaches 24 pixels further.
    near = sees(network("resnet18", stem="plain", receptive_field=field))
    assert (field - 1) // 2 + 24 < near <= (field - 1) // 2 + 24 + 12


def test_head_and_its_options_do_not_count():
    assert sees(replace(network(), head="ccnet", head_options={"channels": 4, "recurrence": 1})) == 35


def test_a_network_that_sees_everything_is_refused(monkeypatch):
    monkeypatch.setattr("segattn.training.field._LARGEST", 128)
    with pytest.raises(
        ValueError, match=r"resnet18 sees more than 64 pixels; choose one with a smaller field, such as patches"
    ):
        sees(network("resnet18"))
