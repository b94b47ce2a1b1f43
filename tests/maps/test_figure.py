"""The figure of attention maps: its scale worked out by hand, what is drawn where, and what is refused."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from segattn.maps import figure
from segattn.maps.look import AttentionMaps
from segattn.maps.panels import concentration, relative, scale
from segattn.maps.types import AttentionMap


def fabricated(name="ccnet", size=(24, 40), grid=(3, 5), maps=None, **changes):
    rng = np.random.default_rng(0)
    maps = maps or {"affinity": AttentionMap("affinity", "positions", rng.random(grid, np.float32))}
    plain = AttentionMaps(
        name=name,
        image=np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8),
        pixel=(11, 7),
        spot=(11, 7),
        position=(0, 1),
        grid=grid,
        maps=maps,
        main=next(iter(maps)),
        prediction=np.tile([0, 2], (size[0], size[1] // 2)),
        class_index=2,
        confidence=0.875,
        class_names=("road", "sky", "person"),
        palette=((128, 64, 128), (70, 130, 180), (220, 20, 60)),
        align_corners=False,
    )
    return dataclasses.replace(plain, **changes)


def words(figure):
    return [text.get_text() for text in figure.texts]


def assert_apart(sheet):
    """Every text lies on the page, and no two overlap."""
    renderer = sheet.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in sheet.texts]
    page = sheet.bbox
    for box in boxes:
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
    for index, box in enumerate(boxes):
        assert not any(box.padded(-1).overlaps(other.padded(-1)) for other in boxes[index + 1 :])


def test_values_are_drawn_relative_to_their_mean():
    assert relative(np.array([[1.0, 3.0], [0.0, 4.0]])).tolist() == [[0.5, 1.5], [0.0, 2.0]]
    assert relative(np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]


def test_scale_puts_the_mean_in_the_middle_and_is_finer_around_it():
    norm = scale(100.0)
    # log_100 of 10 is 1/2; 0.5 + 0.5 sqrt(1/2)
    np.testing.assert_allclose(
        norm([0.0, 0.01, 0.1, 1, 10, 100, 1000]), [0, 0, 0.146447, 0.5, 0.853553, 1, 1], atol=1e-6
    )
    np.testing.assert_allclose(norm.inverse(norm([0.02, 0.9, 1.0, 7.0])), [0.02, 0.9, 1.0, 7.0], rtol=1e-6)


def test_concentration_is_the_share_of_cells_that_hold_half():
    assert concentration(np.array([[4.0, 3.0], [2.0, 1.0]])) == 0.5  # 4 of 10 is less than half, 4 + 3 is more
    sharp = np.zeros((10, 10))
    sharp[3, 7] = 5
    assert concentration(sharp) == 0.01


def test_figure_names_networks_maps_classes_and_numbers():
    shown = words(figure.draw([fabricated("ccnet"), fabricated("danet")], title="street.jpg"))
    assert shown[0] == "street.jpg"
    for text in ("ccnet", "danet", "affinity", "prediction", "person 88 % at the pixel", "road", "person"):
        assert text in shown
    assert "sky" not in shown  # it is predicted nowhere
    assert any("Logarithmic, stretched around 1×" in text for text in shown)


def test_main_map_alone_or_every_map_of_any_kind_is_drawn():
    rng = np.random.default_rng(1)
    maps = {
        "affinity": AttentionMap("affinity", "positions", rng.random((3, 5), np.float32)),
        "half": AttentionMap("half", "half_grid", rng.random((2, 3), np.float32)),
        "channel": AttentionMap("channel", "channels", rng.random((7, 7), np.float32)),
        "shares": AttentionMap("shares", "bases", rng.random(11, np.float32)),
    }
    one, all_maps = (words(figure.draw([fabricated(maps=maps)], every_map=every)) for every in (False, True))
    assert [name for name in maps if name in one] == ["affinity"]
    assert [name for name in maps if name in all_maps] == list(maps)
    assert "7 × 7 channels, rows take" in all_maps
    assert "shares of 11 bases in the pixel" in all_maps


def test_sharp_map_widens_the_scale_of_all():
    sharp = np.zeros((30, 50), np.float32)
    sharp[3, 4] = 1  # 1500 times the mean: the scale ends at 2000
    maps = {"affinity": AttentionMap("affinity", "positions", sharp)}
    sheet = figure.draw([fabricated("a"), fabricated("b", maps=maps)])
    drawn = [image.norm.vmax for axes in sheet.axes for image in axes.images if image.get_array().ndim == 2]
    assert drawn == [pytest.approx(1.0), 2000.0, 2000.0]  # the colour bar's own 0 to 1, and two maps


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (1, 2), (6, 400)], ids=str)
def test_nothing_leaves_the_figure_and_no_two_texts_overlap(size):
    results = [fabricated(name, size) for name in ("denoised_nl", "non_local", "a.module.of.somebody.else")]
    results = [dataclasses.replace(r, class_names=("road", "sky", "a class of a very long name")) for r in results]
    sheet = figure.draw(results)
    assert_apart(sheet)


def test_size_on_the_page_is_that_of_the_picture():
    data, size = figure.png(figure.draw([fabricated()]))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == pytest.approx((size["width"] * 1.5, size["height"] * 1.5), abs=2)  # 144 dots for 96


def test_what_does_not_belong_together_is_refused():
    first = fabricated()
    with pytest.raises(ValueError, match="no attention maps to draw"):
        figure.draw([])
    with pytest.raises(ValueError, match="ccnet and danet belong to different images or pixels"):
        figure.draw([first, fabricated("danet", pixel=(3, 3))])
    with pytest.raises(ValueError, match=r"ccnet knows 3 classes \(road, sky, person, \.\.\.\), danet 2 "):
        figure.draw([first, fabricated("danet", class_names=("a", "b"))])


def test_without_predictions_five_networks_stand_in_a_line_and_name_the_class_below():
    results = [fabricated(name) for name in ("ccnet", "danet", "emanet", "isanet", "non_local", "dnlnet")]
    sheet = figure.draw(results, predictions=False)
    shown = words(sheet)
    assert "prediction" not in shown
    assert shown.count("person 88 %") == 6
    lefts = [round(text.get_position()[0], 3) for text in sheet.texts if text.get_text() in {r.name for r in results}]
    assert len(set(lefts)) == 5
    assert lefts[0] == lefts[5]


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (6, 400)], ids=str)
def test_texts_without_predictions_do_not_overlap(size):
    names = ("denoised_nl", "non_local", "a.module.of.somebody.else", "mylab.heads.tenth_variant", "ccnet", "danet")
    maps = {"retained_long": AttentionMap("retained_long", "positions", np.ones((3, 5), np.float32))}
    results = [fabricated(name, size, maps=maps) for name in names]
    results = [dataclasses.replace(r, class_names=("road", "sky", "a class of a very long name")) for r in results]
    sheet = figure.draw(results, predictions=False)
    assert_apart(sheet)
