"""Which tests belong to which run: the markers `slow`, `long` and `optin` of pyproject.toml."""

import re

import pytest


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
