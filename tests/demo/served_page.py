"""The explorer, served in a thread of the tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from segattn.demo import server
from segattn.demo.explorer import Explorer


@contextmanager
def serving(explorer: Explorer, uploads: str, **options: object) -> Iterator[str]:
    """Address of the page; uploads are written into a folder within `uploads`."""
    arguments = {"max_side": 128, "source": "Networks of tiny.", **options}
    with server.bind("127.0.0.1", 0) as listening:
        app = server.application(explorer, host="127.0.0.1", uploads=uploads, **arguments)  # type: ignore[arg-type]
        running = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not running.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join(timeout=30)
