"""The outcome of a damaged file: the right result, or an error of one line that names the file. Anything else fails the test."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

SECONDS = 60.0
"""The most that a case may take, on a busy machine."""


def judged(what: str, call: Callable[[], Any], is_right: Callable[[Any], bool], names: str) -> str:
    """`right` or `named error`; `names` is what every message must contain."""
    began = time.monotonic()
    try:
        result = call()
    except ValueError as error:
        outcome, message = "named error", str(error)
        assert message, f"{what}: an error without a message"
        assert "\n" not in message.strip(), f"{what}: {message}"
        assert names in message, f"{what}: {message}"
        assert len(message) < 3000, f"{what}: {message}"
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    else:
        outcome = "right"
        assert is_right(result), f"{what}: another result"
    assert time.monotonic() - began < SECONDS, what
    return outcome


def tell(record_property: Callable[[str, object], None], name: str, outcomes: Counter[str]) -> None:
    """Put the counts into the summary at the end of the test run."""
    listing = ", ".join(f"{outcomes[kind]} {kind}" for kind in ("right", "named error"))
    record_property("fuzz", f"{name}: {outcomes.total()} damaged, {listing}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts of every fuzz test that has passed."""
    lines = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "fuzz" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("damaged files")
        for line in sorted(lines):
            terminalreporter.write_line(line)
