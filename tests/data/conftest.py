import pytest

from tests.data.tools.serving import serving


@pytest.fixture
def site(monkeypatch):
    """A server of files on this machine, reached without a proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running
