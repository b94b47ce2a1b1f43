"""The figure of receptive fields: every network has a panel, whatever its sizes, and nothing to draw is refused."""

import numpy as np
import pytest

from segattn.maps import figure, receptive_figure
from segattn.maps.receptive import ReceptiveField, Spread


def spread(height=9, width=13, within=(0.25, 0.5, 0.75, 0.9, 1.0)):
    shares = np.random.default_rng(0).random((height, width), np.float32)
    shares[: height // 4] = 0
    return Spread(shares / shares.sum(), np.array(within))


def texts(sheet):
    return [text.get_text() for text in sheet.texts]


@pytest.mark.parametrize("count", [2, 3, 11, 21])
def test_every_network_has_a_panel_with_its_radii(count):
    fields = [ReceptiveField(f"network {number}", 4, spread(), spread(3, 3)) for number in range(count)]
    sheet = receptive_figure.draw(fields)
    written = texts(sheet)
    assert [text for text in written if text.startswith("network ")] == [field.name for field in fields]
    assert written.count("half within 1 px, 90 % within 3") == count
    assert len(sheet.axes) == count + 1  # and the scale
    assert figure.png(sheet)[0].startswith(b"\x89PNG")


def test_a_single_network_has_its_feature_map_beside_it():
    sheet = receptive_figure.draw([ReceptiveField("ccnet", 1, spread(), spread(3, 5))], title="a title")
    assert {"a title", "ccnet", "on the feature map", "half within 1 positions, 90 % within 3"} <= set(texts(sheet))
    assert any("mean over 1 image. " in text for text in texts(sheet))


def test_a_network_that_reads_other_maps_is_drawn_alone():
    sheet = receptive_figure.draw([ReceptiveField("ccnet", 1, spread(), None)])
    assert len(sheet.axes) == 2


def test_positions_without_gradient_stay_white_and_panels_have_one_scale():
    sheet = receptive_figure.draw([ReceptiveField(name, 1, spread(), None) for name in "ab"])
    first, second = (axes.images[0] for axes in sheet.axes[1:])
    assert np.isnan(first.get_array().filled(np.nan)[:2]).all()
    assert not np.isnan(first.get_array().filled(np.nan)[2:]).any()
    assert (first.norm.vmin, first.norm.vmax) == (second.norm.vmin, second.norm.vmax)


@pytest.mark.parametrize("size", [(1, 1), (1, 31), (31, 1), (513, 3)])
def test_odd_shapes(size):
    sheet = receptive_figure.draw([ReceptiveField("a\x07b", 1, spread(*size, within=(0.5, 1.0)) if size != (1, 1) else
                                                  Spread(np.ones((1, 1), np.float32), np.ones(1)), None)])  # fmt: skip
    assert len(figure.png(sheet)[0]) > 1000


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no receptive field to draw"):
        receptive_figure.draw([])
