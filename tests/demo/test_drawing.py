import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import segattn
from segattn.demo import cards, drawing, figure
from segattn.demo.explorer import Points
from segattn.demo.pictures import Picture

PICTURE = Picture("street <b>", segattn.datasets.load("streets", "val", height=48, width=80)[2].image)
ALL = ["ccnet", "danet", "denoised_nl", "emanet", "fcn", "flanet"]


@pytest.mark.parametrize(("opacity", "expected"), [(0, [10, 200, 0]), (1, [110, 0, 255]), (0.3, [40, 140, 76])])
def test_colours_are_mixed_by_opacity(opacity, expected):
    """0.7 * 10 + 0.3 * 110 = 40, 0.7 * 200 = 140, 0.3 * 255 = 76.5, rounded to even."""
    picture, colours = np.array([[[10, 200, 0]]], np.uint8), np.array([[[110, 0, 255]]], np.uint8)
    assert drawing.blend(picture, colours, opacity).tolist() == [[expected]]


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_opacity_is_a_share(opacity):
    with pytest.raises(ValueError, match="is a share between 0"):
        drawing.blend(PICTURE.image, PICTURE.image, opacity)


@pytest.mark.slow
def test_scale_reaches_every_main_map_and_does_not_change_with_the_chosen_one(explorer):
    results = [each.at[0] for each in explorer.see(PICTURE, Points((60, 30)), ALL)]
    highest = drawing.scale_of(results).vmax
    peaks = [
        result.maps[result.main].values.max() / result.maps[result.main].values.mean()
        for result in results
        if result.maps
    ]
    assert highest >= max(peaks)
    assert f"{highest:.0e}"[0] in "125"
    without = replace(results[0], maps={results[0].main: results[0].maps[results[0].main]})
    assert drawing.scale_of([without, *results[1:]]).vmax == highest


def test_a_cell_is_drawn_over_the_pixels_it_stands_for(explorer):
    (each,) = explorer.see(PICTURE, Points((60, 30)), ["ccnet"])
    result = replace(each.at[0], align_corners=False)
    cross = replace(result.maps["cross"], values=np.arange(60, dtype=np.float32).reshape(6, 10) + 1)
    norm = drawing.scale_of([result])
    assert drawing.placed(result, cross) == (0, 0, 1, 1)
    drawn = drawing.over_picture(result, cross, norm)
    np.testing.assert_array_equal(drawn, np.kron(drawing.coloured(cross.values, norm), np.ones((8, 8, 1), np.uint8)))


def test_outer_cells_lie_on_outer_pixels_where_corners_are_aligned(explorer):
    (each,) = explorer.see(PICTURE, Points((60, 30)), ["ccnet"])
    result = replace(each.at[0], align_corners=True)
    cross = replace(result.maps["cross"], values=np.ones((6, 10), np.float32))
    left, top, width, height = drawing.placed(result, cross)
    assert (left + 0.5 * width / 10) * 80 == pytest.approx(0.5)  # centre of the first cell, in pixels
    assert (left + 9.5 * width / 10) * 80 == pytest.approx(79.5)
    assert (top + 0.5 * height / 6) * 48 == pytest.approx(0.5)


def test_there_is_a_card_a_network_with_its_maps_class_confidence_and_cost(explorer):
    seen = explorer.see(PICTURE, Points((60, 30), (7, 5)), ALL)
    page = cards.results(seen, PICTURE)
    assert re.findall(r'data-network="(\w+)"', page) == ALL
    assert page.count('<div class="frame map"') == 2 * len(ALL)
    for each in seen:
        for name in each.at[0].maps:
            assert page.count(f'alt="{each.network.name}, {name}, pixel 1"') == (name != "responsibilities")
        for at in each.at:
            assert f'<span class="class">{at.class_name}</span>' in page
            assert f"{100 * at.confidence:.0f}&nbsp;%" in page
        assert f"<td>{each.cost.network.flops / 1e9:,.3f}</td>" in page
        assert f"<td>{each.cost.mechanism.parameters / 1e6:,.3f}</td>" in page


def test_pictures_of_the_page_are_the_maps_colours(explorer):
    (each,) = explorer.see(PICTURE, Points((60, 30)), ["ccnet"])
    page = cards.results([each], PICTURE)
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"[^>]*alt="ccnet, cross, pixel 1"', page)[1]
    cross, norm = each.at[0].maps["cross"], drawing.scale_of(each.at)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        np.testing.assert_array_equal(np.asarray(image), drawing.coloured(cross.values, norm))
    encoded = re.search(r'src="data:image/png;base64,([^"]+)" alt="ccnet, prediction"', page)[1]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), drawing.labelled(each.at[0]))


def test_names_from_files_are_escaped(explorer):
    assert "street &lt;b&gt;" in cards.stage(PICTURE, Points((0, 0)))
    (each,) = explorer.see(PICTURE, Points((60, 30)), ["ccnet"])
    at = replace(each.at[0], class_names=("<script>",) * 19)
    page = cards.results([replace(each, at=(at,))], PICTURE)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def drawn(seen, points, **options):
    options = {"opacity": 0.7, "shown": {}, **options}
    with Image.open(io.BytesIO(figure.draw(seen, PICTURE, points, **options))) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.slow
def test_figure_shows_the_opacity_and_the_chosen_maps(explorer):
    points = Points((60, 30))
    seen = explorer.see(PICTURE, points, ["danet", "fcn"])
    usual = drawn(seen, points)
    assert usual.shape[1] == 1526  # 10.6 inches of 144 dots
    assert not np.array_equal(usual, drawn(seen, points, opacity=0.1))
    assert not np.array_equal(usual, drawn(seen, points, shown={"danet": "channel_affinity"}))
    np.testing.assert_array_equal(usual, drawn(seen, points, shown={"danet": "no such map", "nobody": "position"}))


@pytest.mark.slow
def test_figure_of_two_pixels_and_every_kind_of_map_is_drawn(explorer):
    points = Points((60, 30), (7, 5))
    picture = drawn(
        explorer.see(PICTURE, points, ["denoised_nl", "emanet", "fcn"]), points, shown={"emanet": "responsibilities"}
    )
    red, blue = (np.all(picture == tuple(bytes.fromhex(colour[1:])), axis=2).sum() for colour in drawing.MARKS)
    assert red > 100
    assert blue > 100
