"""A real browser for tests of pages: Debian's Chromium, driven by Playwright, which brings no browser of its own here."""

import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser: pip install playwright")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)
needs_browser = pytest.mark.skipif(_BROWSER is None, reason="no browser is installed: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=_BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()
