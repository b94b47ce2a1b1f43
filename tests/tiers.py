"""Which tests belong to which run, by the markers `slow`, `long` and `optin` of pyproject.toml, and which files come first."""

import re
from collections import Counter

import pytest

FIRST = (
    "test_choose_page.py",
    "test_distributed.py",
    "test_site.py",
    "test_bench.py",
    "test_cost.py",
    "test_local.py",
    "test_killed.py",
)
"""Files whose few tests take long. A run on several processes that ended with one of them would leave the others idle."""


@pytest.hookimpl(tryfirst=True)  # before -m is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the sample of a `long` test in the default run; a test that is `long` or `optin` is `slow` too."""
    for item in items:
        long = item.get_closest_marker("long")
        parameters = re.findall(r"\w+", item.name.partition("[")[2])
        if long is not None and not set(long.args).isdisjoint(parameters):
            item.own_markers = [mark for mark in item.own_markers if mark.name != "long"]
        if long is not None or item.get_closest_marker("optin") is not None:
            item.add_marker(pytest.mark.slow)
    _order(items)


def _order(items: list[pytest.Item]) -> None:
    """Files of `FIRST`, then those with more tests in the default run before those with fewer."""
    counts = Counter(
        item.path for item in items if not any(item.iter_markers("long")) and not any(item.iter_markers("optin"))
    )
    items.sort(key=lambda item: (item.path.name not in FIRST, -counts[item.path]))
