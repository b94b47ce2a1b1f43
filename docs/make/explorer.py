"""The picture of docs/explorer.md, and how long a click takes: python -m docs.make.explorer runs/quick

Needs the extras `demo` and `dev`, and Chromium. Serves the study's networks, clicks in a real browser, writes docs/images/.
"""

from __future__ import annotations

import io
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import FilePayload, Page, sync_playwright

from segattn.data import streets

IMAGES = Path(__file__).parents[1] / "images"
CLICKS = 15


def main(study: str) -> None:
    """Serve the study, take the picture, time the clicks."""
    command = [sys.executable, "-m", "segattn", "demo", study, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().split(" at ")[1].split()[0]
            with sync_playwright() as driver:
                executable = shutil.which("chromium") or shutil.which("google-chrome")
                browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 1010})
                page.set_default_timeout(120_000)
                began = time.perf_counter()
                page.goto(address)
                page.wait_for_selector(".card")
                print(f"page with its first picture: {time.perf_counter() - began:.1f} s")
                _time(page, _upload)
                _time(page, lambda page: page.locator("[data-example='26']").click())
                _click(page, 0.6, 0.55)
                page.locator("[data-network='isanet'] select").select_option("long")
                page.wait_for_timeout(500)
                page.screenshot(path=IMAGES / "explorer.png")
                browser.close()
        finally:
            server.terminate()


def _upload(page: Page) -> None:
    """A picture that is scaled down to 512 x 384 pixels."""
    stream = io.BytesIO()
    Image.fromarray(streets.load("val", height=768, width=1024)[26].image).save(stream, "JPEG")
    file: FilePayload = {"name": "street.jpg", "mimeType": "image/jpeg", "buffer": stream.getvalue()}
    page.locator("input[type=file]").set_input_files(file)


def _time(page: Page, choose: Callable[[Page], None]) -> None:
    began, before = time.perf_counter(), page.locator(".results").inner_html()
    choose(page)
    first = _wait(page, began, before)
    times = [_click(page, 0.1 + 0.8 * number / CLICKS, 0.7) for number in range(CLICKS)]
    print(f"{page.locator('.stage p').inner_text()}: first {first:.1f} s; a click, {page.locator('.card').count()} networks: "
          f"median {statistics.median(times):.2f} s, slowest {max(times):.2f} s of {CLICKS}")  # fmt: skip


def _click(page: Page, across: float, down: float) -> float:
    before, box = page.locator(".results").inner_html(), page.locator(".canvas").bounding_box()
    assert box is not None
    began = time.perf_counter()
    page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
    return _wait(page, began, before)


def _wait(page: Page, began: float, before: str) -> float:
    page.wait_for_function("before => document.querySelector('.results').innerHTML !== before", arg=before)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(sys.argv[1])
