"""The picture of docs/explorer.md, and how long a click takes: python -m docs.make.explorer [SOURCE]

SOURCE is a trunk of `segattn zoo` (streets-local unless given) or a study's folder. Needs the extras `demo` and `dev`, and
Chromium. Serves the networks, clicks in a real browser, writes docs/images/. The picture shows the scene and the pixel of
`shown.py`.
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

import numpy as np
from PIL import Image
from playwright.sync_api import FilePayload, Page, sync_playwright

from docs.make.shown import IMAGES, Shown, shown
from segattn import zoo
from segattn.data import streets

CLICKS = 15


def main(source: str = zoo.LOCAL, what: Shown | None = None, folder: Path = IMAGES) -> None:
    """Serve the networks, take the picture, time the clicks; `what` the picture shows is worked out unless given."""
    what = what or shown(source)
    command = [sys.executable, "-m", "segattn", "demo", source, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().rpartition(" at ")[2].split()[0]
            with sync_playwright() as driver:
                executable = shutil.which("chromium") or shutil.which("google-chrome")
                browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 1010})
                page.set_default_timeout(120_000)
                began = time.perf_counter()
                page.goto(address)
                page.wait_for_selector(".card")
                print(f"page with its first picture: {time.perf_counter() - began:.1f} s")
                _time(page, lambda page: _upload(page, streets.load("val", height=768, width=1024)[26].image))
                _time(page, lambda page: page.locator("[data-example='26']").click())
                _time(page, lambda page: _upload(page, what.image))
                height, width = what.image.shape[:2]
                x, y = what.pixel.pixel
                _click(page, (x + 0.5) / width, (y + 0.5) / height)
                page.screenshot(path=folder / "explorer.png")
                browser.close()
        finally:
            server.terminate()


def _upload(page: Page, image: np.ndarray) -> None:
    """Upload a picture; the page scales it down to 512 pixels on its longer side."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    file: FilePayload = {"name": "street.png", "mimeType": "image/png", "buffer": stream.getvalue()}
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
    main(*sys.argv[1:2])
