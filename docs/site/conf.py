"""The documentation site: `make site` builds it with Sphinx from the pages of docs/."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from latex2mathml.converter import convert
from sphinx.application import Sphinx

import segattn
from segattn.cli import main as segattn_command
from segattn.cli.commands import COMMANDS, EXPERIMENT_FIRST, SUBCOMMANDS

DOCS = Path(__file__).parents[1]

project = "segattn"
author = "the segattn authors"
version = release = segattn.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "index"
include_patterns = ["*.md", "heads/*.md", "site/*.md"]
exclude_patterns = ["README.md"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.xref_missing"]  # of ids alone; test_docs checks every link of every page
default_role = "code"
nitpicky = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 90
napoleon_google_docstring = True
html_theme = "furo"
html_title = f"segattn {segattn.__version__}"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_static_path: list[str] = []
html_theme_options = {"source_edit_link": "", "navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"


# Links --------------------------------------------------------------------------------------------------------------------
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")


def keep_links_inside(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links to files of the repository that are no pages become their names; the repository's README is the first page."""
    folder = (DOCS / docname).parent

    def replaced(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = (folder / target).resolve()
        if path in (DOCS.parent / "README.md", DOCS / "README.md"):
            return f"[{text}]({os.path.relpath(DOCS / 'index.md', folder)})"
        if path.is_relative_to(DOCS) and path.suffix in (".md", ".png", ".svg"):
            return match[0] if path.exists() else f"{text}{anchor and ''}"
        name = path.relative_to(DOCS.parent).as_posix()
        return f"{text} (`{name}`)" if text.strip("`") != name else f"`{name}`"

    source[0] = _LINK.sub(replaced, source[0]).replace("<!-- every command -->", every_command())


def every_command() -> str:
    """A section for each command, and for each word that follows one."""
    words = [each for name in COMMANDS for each in (name, *(f"{name} {word}" for word in SUBCOMMANDS.get(name, ())))]
    sections = []
    for each in words:
        named = f"{each} quick" if each in EXPERIMENT_FIRST else each
        sections.append(f"## {each}\n\n```{{help}} {named} --help\n```")
    return "\n\n".join(sections)


def as_markdown(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text with `code`: a star or a bar outside of it is a star or a bar."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("`")
            lines[number] = "`".join(
                re.sub(r"(?<!\\)([*|])", r"\\\1", part) if at % 2 == 0 else part for at, part in enumerate(parts)
            )


# Mathematics, without a script or a network -------------------------------------------------------------------------------
def inline_math(translator: Any, node: nodes.Element) -> None:
    """LaTeX in a line as MathML."""
    translator.body.append(convert(node.astext(), display="inline"))
    raise nodes.SkipNode


def displayed_math(translator: Any, node: nodes.Element) -> None:
    """LaTeX in a block as MathML."""
    translator.body.append(
        f'<div class="math" style="overflow-x: auto">{convert(node.astext(), display="block")}</div>'
    )
    raise nodes.SkipNode


# Help of commands ---------------------------------------------------------------------------------------------------------
class CommandHelp(Directive):
    """`{help} VERB ...`: what the command prints, at 100 columns."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """The text as a literal block."""
        text = help_of(self.arguments[0].split())
        return [nodes.literal_block(text, text, language="text")]


def help_of(words: list[str]) -> str:
    """What the words print."""
    with _columns(100), contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        segattn_command(words)
    return printed.getvalue()


@contextlib.contextmanager
def _columns(number: int) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(number)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def setup(app: Sphinx) -> None:
    """What Sphinx calls first."""
    app.connect("source-read", keep_links_inside)
    app.connect("autodoc-process-docstring", as_markdown, priority=100)  # before napoleon
    app.add_html_math_renderer("mathml", (inline_math, None), (displayed_math, None))
    app.add_directive("help", CommandHelp)
