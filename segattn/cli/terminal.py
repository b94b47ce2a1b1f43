"""The console of the commands: texts are printed as they are, because names and paths may hold what rich reads as markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def console(**settings: Any) -> Console:
    """A console for which `[name]` and `:name:` are text; `settings` are those of rich's `Console`."""
    return Console(markup=False, emoji=False, **settings)
