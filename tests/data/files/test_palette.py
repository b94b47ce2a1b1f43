"""Colours of classes that have none."""

from segattn.data.files.palette import flat_voc_palette, voc_colour, voc_palette


def test_colours_are_those_of_the_devkit():
    # VOClabelcolormap: aeroplane, bicycle, person, tvmonitor, border
    known = {1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: voc_colour(index) for index in known} == known


def test_colours_differ_for_256_classes():
    assert len(set(voc_palette(256))) == 256
    assert voc_palette(3) == voc_palette(256)[:3]


def test_flat_palette_has_three_channels_for_every_value_of_8_bits():
    flat = flat_voc_palette()
    assert len(flat) == 3 * 256
    assert tuple(flat[3 * 15 : 3 * 16]) == voc_colour(15)
