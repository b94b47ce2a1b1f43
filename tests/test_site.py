"""The documentation site: it builds without a warning, its links lead somewhere, and it needs no network."""

import re
import subprocess
import sys
from html import unescape
from urllib.parse import unquote, urlsplit

import pytest

from segattn import heads
from segattn.cli.commands import COMMANDS, SUBCOMMANDS
from tests.places import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make site` does."""
    out = tmp_path_factory.mktemp("site")
    words = ["--quiet", "--fail-on-warning", "--keep-going", "-c", "docs/site", "docs", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site):
    """The text of every page by its path."""
    return {path.relative_to(site).as_posix(): path.read_text() for path in sorted(site.rglob("*.html"))}


def test_every_link_leads_somewhere(site, pages):
    assert len(pages) > 40
    ids = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    checked = 0
    for name, text in pages.items():
        for target in map(unescape, re.findall(r'<(?:a|img|link|script)\b[^>]*?\b(?:href|src)="([^"]+)"', text)):
            parts = urlsplit(target)
            if parts.scheme:
                continue
            path = (site / name).parent / unquote(parts.path) if parts.path else site / name
            assert path.exists(), f"{name}: {target}"
            page = path.resolve().relative_to(site.resolve()).as_posix()
            if parts.fragment and page in ids and not name.startswith("_modules"):
                assert unquote(parts.fragment) in ids[page], f"{name}: {target}"
            checked += 1
    assert checked > 1000


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for name, text in pages.items():
        loaded = re.findall(r'<(?:script|img|iframe|source)\b[^>]*?\bsrc="([^"]+)"', text)
        loaded += re.findall(r'<link\b[^>]*?rel="(?:stylesheet|preload)"[^>]*?\bhref="([^"]+)"', text)
        assert [each for each in loaded if "//" in each] == [], name
    for path in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", path.read_text()), path.name


def test_every_head_has_its_equation_and_every_command_its_help(pages):
    for name in heads.names():
        assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in pages[f"heads/{name}.html"]
    commands = re.sub(r"<[^>]*>", "", pages["site/commands.html"])
    for verb in [*COMMANDS, *(f"{name} {word}" for name, words in SUBCOMMANDS.items() for word in words)]:
        assert f"usage: segattn {verb} " in commands, verb


def test_public_names_are_documented(pages):
    text = pages["site/api.html"]
    for name in ("segattn.create_model", "segattn.load_model", "segattn.predict", "segattn.attention_maps"):
        assert f'id="{name}"' in text
    assert 'id="segattn.config.Optimization.iterations"' in text


def test_it_can_be_searched(site):
    assert (site / "search.html").exists()
    assert "criss" in (site / "searchindex.js").read_text()
