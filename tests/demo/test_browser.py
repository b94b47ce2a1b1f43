"""The page in a real browser."""

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the explorer needs Gradio: pip install 'segattn[demo]'")
from segattn.demo.explorer import Explorer
from segattn.demo.pictures import MAX_FILE_BYTES
from tests.browser import browser as browser
from tests.browser import needs_browser
from tests.demo.served_page import serving

HEADS = ["ccnet", "danet", "denoised_nl", "emanet", "fcn", "flanet"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Gradio's, of pandas
    needs_browser,
]


@pytest.fixture(scope="module")
def address(loaded, tmp_path_factory):
    with serving(Explorer(loaded), str(tmp_path_factory.mktemp("uploads"))) as url:
        yield url


@pytest.fixture
def page(browser, address):
    """The page with its first results; nothing in it fails, and nothing leaves this computer."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened, wrong = context.new_page(), []
    opened.set_default_timeout(90_000)  # of a busy machine
    opened.on(
        "request", lambda request: request.url.startswith((address, "data:", "blob:")) or wrong.append(request.url)
    )
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.goto(address)
    opened.wait_for_selector(".card")
    yield opened
    context.close()
    assert wrong == []


def click(page, across, down):
    """Click at a share of the picture's size, and wait for what the networks say."""
    before = page.locator(".results").inner_html()
    box = page.locator(".canvas").bounding_box()
    page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
    changed(page, before)


def changed(page, before):
    page.wait_for_function("before => document.querySelector('.results')?.innerHTML !== before", arg=before)


def pixels(locator):
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def test_an_example_and_two_pixels_give_a_map_an_answer_and_a_cost_of_every_network(page):
    before = page.locator(".results").inner_html()
    page.locator("[data-example='26']").click()
    changed(page, before)
    assert "Bus, and a rider before it, 128 × 64" in page.locator(".stage").inner_text()
    click(page, 0.25, 0.75)
    assert "1 at 32, 48" in page.locator(".where").inner_text()
    assert [card.get_attribute("data-network") for card in page.locator(".card").all()] == HEADS
    assert page.locator(".frame.map").count() == len(HEADS)
    assert page.locator(".frame.map .layer:visible").count() == len(HEADS) - 1  # nothing attends in fcn
    for text in page.locator(".card .answers li").all_inner_texts():
        number, name, confidence, *_ = text.split("\n") if "\n" in text else text.split(maxsplit=2)
        assert number == "1"
        assert name
        assert 100 / 19 - 1 <= float(confidence.split()[0]) <= 100
    assert page.locator(".cost").count() == len(HEADS)
    page.locator("[data-place='2']").click()
    click(page, 0.75, 0.9)
    assert page.locator(".frame.map").count() == 2 * len(HEADS)
    assert page.locator(".card .answers li").count() == 2 * len(HEADS)
    before = page.locator(".results").inner_html()
    page.locator(".remove").click()
    changed(page, before)
    assert page.locator(".frame.map").count() == len(HEADS)


def test_a_mark_is_dragged_and_moved_by_keys(page):
    before = page.locator(".results").inner_html()
    canvas, mark = page.locator(".canvas").bounding_box(), page.locator("[data-mark='1']").bounding_box()
    page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    page.mouse.down()
    page.mouse.move(canvas["x"] + 0.5 * canvas["width"], canvas["y"] + 0.5 * canvas["height"], steps=3)
    page.mouse.move(canvas["x"] + 5 * canvas["width"], canvas["y"] - 50)  # beyond the edge: the edge
    page.mouse.up()
    changed(page, before)
    assert "1 at 127, 0" in page.locator(".where").inner_text()
    before = page.locator(".results").inner_html()
    page.locator("[data-mark='1']").press("Shift+ArrowLeft")
    page.locator("[data-mark='1']").press("ArrowDown")
    changed(page, before)
    assert "1 at 126, 8" in page.locator(".where").inner_text()


def test_opacity_changes_the_pictures_and_runs_nothing(page, loaded, monkeypatch):
    for network in loaded:
        monkeypatch.setattr(network.model.backbone, "forward", None)
    frame, slider = page.locator("[data-network='ccnet'] .frame.map"), page.locator("#opacity input[type='number']")
    seen = {}
    for opacity in (0, 70, 100):
        slider.fill(str(opacity))
        slider.press("Enter")
        page.wait_for_function(
            "(o) => getComputedStyle(document.querySelector('.over')).opacity == o", arg=opacity / 100
        )
        seen[opacity] = pixels(frame)
    assert np.abs(seen[100] - seen[0]).mean() > 5
    inside = np.abs(seen[70] - (0.3 * seen[0] + 0.7 * seen[100]))  # as `blend` does it
    assert inside.max() <= 3  # rounded on the way, thrice


def test_another_map_is_chosen_and_stays_chosen(page):
    card = page.locator("[data-network='danet']")
    assert card.locator("[data-map='position']").first.is_visible()
    card.locator("select").select_option("channel_affinity")
    assert card.locator(".layer.channels").is_visible()
    assert not card.locator("[data-map='position']").first.is_visible()
    click(page, 0.4, 0.4)
    assert card.locator(".layer.channels").is_visible()
    assert card.locator("select").input_value() == "channel_affinity"


def test_figure_is_downloaded_as_png(page, tmp_path):
    with page.expect_download() as waiting:
        page.locator("#download").click()
    assert waiting.value.suggested_filename == "segattn-explorer.png"
    waiting.value.save_as(tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.format == "PNG"
        assert figure.width == 1526


def test_a_bad_upload_gives_a_message_and_a_good_one_its_maps(page, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    chooser = page.locator("input[type='file']")
    chooser.set_input_files(tmp_path / "bad.png")
    page.wait_for_selector("#status .bad")
    assert "bad.png: unreadable image (damaged, or no picture" in page.locator("#status").inner_text()
    assert page.locator(".card").count() == len(HEADS)  # what was there stays
    Image.new("RGB", (70, 50), (90, 120, 60)).save(tmp_path / "good.png")
    before = page.locator(".results").inner_html()
    chooser.set_input_files(tmp_path / "good.png")
    page.wait_for_selector("text=good.png, 70 × 50")
    page.wait_for_selector("#status .bad", state="detached")
    changed(page, before)
    (tmp_path / "large.png").write_bytes(bytes(MAX_FILE_BYTES + 1))
    chooser.set_input_files(tmp_path / "large.png")
    page.wait_for_selector("text=large.png: not accepted; a file may have at most 20 MB")
    assert page.locator(".card").count() == len(HEADS)


def test_networks_are_chosen(page):
    before = page.locator(".results").inner_html()
    for name in ("danet", "emanet", "fcn", "flanet", "denoised_nl"):
        page.locator("#networks label", has_text=name).click()
    page.wait_for_function("document.querySelectorAll('.card').length === 1")
    page.locator("#networks label", has_text="ccnet").click()
    page.wait_for_selector("#status .bad")
    assert "No network is selected" in page.locator("#status").inner_text()
    assert before


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_page_fits_and_is_readable(browser, address, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(address)
    page.wait_for_selector(".card")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    sizes = page.evaluate(
        "[...document.querySelectorAll('.frame')].map((e) => [e.offsetWidth, e.offsetHeight].join('x'))"
    )
    assert len(set(sizes)) == 1  # all of one size
    assert int(sizes[0].split("x")[0]) >= 120
    cut = page.evaluate(
        "[...document.querySelectorAll('.card *')].filter((e) => e.scrollWidth > e.clientWidth + 1 "
        "&& getComputedStyle(e).overflowX === 'hidden' && !e.matches('.frame')).map((e) => e.textContent)"
    )
    assert cut == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background.removeprefix("rgb(").rstrip(")").split(", "))) < 200) == (scheme == "dark")
    context.close()


def test_a_map_is_enlarged_by_click_and_by_key(page):
    page.locator(".card[data-network='danet'] .frame.prediction").click()
    dialog = page.locator("dialog.large")
    assert dialog.locator("h3").inner_text() == "danet"
    small = page.locator(".card[data-network='danet'] .frame.prediction").bounding_box()
    assert dialog.locator(".frame").bounding_box()["width"] > 2 * small["width"]
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('dialog') === null")
    page.locator(".card[data-network='ccnet'] .frame.map").focus()
    page.keyboard.press("Enter")
    assert dialog.locator("h3").inner_text() == "ccnet"
    dialog.locator("button").click()
    page.wait_for_function("document.querySelector('dialog') === null")


def test_all_maps_of_a_network_side_by_side(page):
    names = page.locator(".card[data-network='ccnet'] option").all_inner_texts()
    page.locator(".card[data-network='ccnet'] .all").click()
    dialog = page.locator("dialog.large")
    assert dialog.locator("figcaption b").all_inner_texts() == names
    assert dialog.locator(".layer:visible").count() == len(names)
    page.keyboard.press("Escape")


def test_what_is_wrong_alone(page):
    frame = page.locator(".card[data-network='fcn'] .frame.prediction")
    before = pixels(frame)
    page.locator(".errors").click()
    assert page.locator(".errors").get_attribute("aria-pressed") == "true"
    assert pixels(frame).mean() > before.mean() + 20  # the veil over what is right is white
    click(page, 0.3, 0.3)  # it stays for the next pixel
    assert page.locator(".errors").get_attribute("aria-pressed") == "true"


def test_second_pixel_does_not_make_the_page_longer(page):
    tall = page.locator(".cards").bounding_box()["height"]
    page.locator("[data-place='2']").click()
    click(page, 0.3, 0.3)
    assert page.locator(".cards").bounding_box()["height"] < 1.15 * tall
