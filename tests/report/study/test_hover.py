"""The page's script in a real browser: values beside the pointer, and the cue where columns are cut."""

import pytest

from tests.browser import browser as browser
from tests.browser import needs_browser

pytestmark = [pytest.mark.slow, needs_browser]


@pytest.fixture(params=[390, 1400])
def page(request, browser, built):
    """The report at two widths; no error in it, and nothing leaves this computer."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, has_touch=True)
    opened, wrong = context.new_page(), []
    opened.on("request", lambda r: r.url.startswith(("file:", "data:")) or wrong.append(r.url))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.goto(built["report.html"].as_uri())
    opened.evaluate("document.querySelectorAll('img').forEach((picture) => { picture.loading = 'eager'; })")
    opened.wait_for_function("[...document.images].every((picture) => picture.complete)")
    yield opened
    context.close()
    assert wrong == []


def middle(page, selector):
    mark = page.locator(selector).first
    mark.evaluate("(mark) => mark.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'})")
    box = mark.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_point_shows_its_value_and_leaving_hides_it(page):
    tip, point = page.locator(".tip"), '#tradeoff .value[aria-label^="denoised_nl: 78.79"]'
    assert not tip.is_visible()
    x, y = middle(page, point)
    page.mouse.move(x + 2, y + 2)
    assert tip.inner_text().startswith("denoised_nl: 78.79 ± ")
    page.mouse.move(2, 2)
    assert not tip.is_visible()


def test_a_touch_shows_the_value_of_a_small_plot_in_the_table(page):
    x, y = middle(page, "#table td.plot svg")
    page.touchscreen.tap(x, y)
    assert page.locator(".tip").inner_text().startswith("95 % interval of the mean: ")


def test_curves_show_the_value_at_the_pointer(page):
    x, y = middle(page, "#training .value[data-curve]")
    page.mouse.move(x, y)
    lines = page.locator(".tip").inner_text().splitlines()
    assert lines[0] == "denoised_nl"
    assert [line.partition(":")[0] for line in lines[1:]] in (3 * [f"iteration {n}"] for n in range(190, 230, 10))


def test_arrow_keys_step_through_the_points_of_a_figure(page):
    page.locator("#tradeoff figure svg").first.focus()
    said = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        said.append(page.locator(".tip").inner_text())
    assert len(set(said)) == 3
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()


def test_cut_columns_have_a_cue_and_whole_tables_have_none(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    state = "(box) => [box.scrollWidth > box.clientWidth + 4, ...['cut', 'more'].map((name) => box.classList.contains(name))]"
    boxes = page.locator(".scroll").all()
    assert all(cut == has_cut for cut, has_cut, _ in (box.evaluate(state) for box in boxes))
    main = page.locator("#table .scroll").first
    if page.viewport_size["width"] == 390:
        assert main.evaluate(state) == [True, True, True]
        main.evaluate("(box) => box.scrollTo({left: 1e5, behavior: 'instant'})")
        page.wait_for_function("() => !document.querySelector('#table .scroll').classList.contains('more')")
        assert main.evaluate(state) == [True, True, False]
