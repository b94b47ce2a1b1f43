import threading

import pytest

from segattn.data.tools.threads import file_threads


def test_all_that_is_asked_for_is_done():
    with file_threads(3) as threads:
        assert list(threads.map(lambda n: n * n, range(7))) == [n * n for n in range(7)]


def test_an_exception_drops_what_is_queued():
    begun, release = [], threading.Event()

    def wait(number):
        begun.append(number)
        release.wait(timeout=60)

    def interrupt():
        with file_threads(1) as threads:
            threads.map(wait, range(100))
            threading.Timer(0.2, release.set).start()  # the one that runs is waited for
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert len(begun) <= 2
