"""`make docs`: write every generated page and picture under docs/."""

from __future__ import annotations

from pathlib import Path

from docs.make import export, findings, flops_page, head_page, index, performance, pictures, probes, reach
from segattn import heads

DOCS = Path(__file__).parents[1]


def pages() -> dict[str, str]:
    """The text of every generated page by its path under docs/."""
    return {
        "README.md": index.page(),
        "flops.md": flops_page.page(),
        "performance.md": performance.page(),
        "export.md": export.page(),
        "probes.md": probes.page(),
        "findings.md": findings.page(),
        **{f"heads/{name}.md": head_page.page(name) for name in heads.names()},
    }


def main() -> None:
    (DOCS / "heads/images").mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        (DOCS / path).write_text(text, encoding="utf-8")
    for name in heads.names():
        pictures.draw(reach.reach(name), DOCS / f"heads/images/{name}.png")
    performance.draw(DOCS / "images")
    probes.draw(DOCS / "images")
    findings.draw(DOCS / "images")
    print(f"wrote {len(pages())} pages and {len(heads.names())} pictures under {DOCS}")


if __name__ == "__main__":
    main()
