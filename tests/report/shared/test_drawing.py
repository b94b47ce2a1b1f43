"""One meaning a colour, and all of them told apart by the colour-blind."""

import itertools
import re

import numpy as np
import pytest

from segattn.report.shared import drawing
from segattn.report.study import families
from tests.places import ROOT

MEANINGS = ("accent", "baseline", "hard", "worse", "wrong")
# Machado, Oliveira and Fernandes, IEEE TVCG 2009: severity 1.0, on linear RGB.
SEEN = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour):
    value = np.array([*bytes.fromhex(colour[1:])]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(colour, vision):
    """CIE L*a*b*, D65, as the vision sees it."""
    rgb = (np.asarray(SEEN[vision]) @ linear(colour)).clip(0, 1)
    xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    white = np.array([0.95047, 1, 1.08883])
    x, y, z = np.array([16 / 116 + 7.787 * v if v <= 0.008856 else np.cbrt(v) for v in xyz @ rgb / white])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(a, b, vision):
    """Difference of two colours, CIE 1976: about 2.3 can just be seen."""
    return np.linalg.norm(lab(a, vision) - lab(b, vision))


def contrast(a, b):
    """Ratio of WCAG 2."""
    light, dark = sorted(
        (float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour)) for colour in (a, b)), reverse=True
    )
    return (light + 0.05) / (dark + 0.05)


def schemes():
    css = (ROOT / "segattn/report/shared/templates/report.css").read_text()
    light, dark, printed = (
        dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{[^}]*\}", css)
    )
    return {"light": light, "dark": dark, "print": printed}


def test_the_page_and_the_figures_have_the_same_colours():
    figures = {name: getattr(drawing, name.upper()) for name in MEANINGS}
    for scheme in ("light", "print"):
        assert {name: schemes()[scheme][name] for name in MEANINGS} == figures


@pytest.mark.parametrize("vision", SEEN)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_meanings_are_told_apart(scheme, vision):
    colours = schemes()[scheme]
    for a, b in itertools.combinations(MEANINGS, 2):
        assert apart(colours[a], colours[b], vision) > 13, (a, b)


@pytest.mark.parametrize("vision", SEEN)
def test_no_family_has_the_colour_of_a_meaning_or_of_another_family(vision):
    own = {name: colour for name, colour in families.COLOURS.items() if name != "baseline"}
    assert families.COLOURS["baseline"] == drawing.BASELINE
    for (name, colour), meaning in itertools.product(own.items(), MEANINGS):
        assert apart(colour, getattr(drawing, meaning.upper()), vision) > 11, (name, meaning)
    for a, b in itertools.combinations(own, 2):
        assert apart(own[a], own[b], vision) > 11, (a, b)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_in_colour_can_be_read(scheme):
    colours = schemes()[scheme]
    for name in ("accent", "baseline", "hard"):
        assert contrast(colours[name], colours["paper"]) > 4.5, name
    for colour in families.COLOURS.values():
        assert contrast(colour, colours["paper"]) > (3 if colour != drawing.BASELINE else 2)
