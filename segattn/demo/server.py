"""Serves the page until Ctrl-C, to this computer only unless told otherwise; nothing is loaded from elsewhere."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from segattn.demo.explorer import Explorer
from segattn.demo.guard import Guard
from segattn.demo.pictures import MAX_FILE_BYTES
from segattn.demo.uploads import Uploads

MAX_VISITORS = 50
"""Sessions whose view is kept; the oldest are dropped."""


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach the address.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "192.168.0.7")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ValueError: the port is taken or not allowed, or the host is not one of this computer.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, OverflowError):
        raise ValueError(f"--host {host}, --port {port}: no address of this computer") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(64)
    except OSError as error:
        listening.close()
        advice = "another --port, or --port 0 for a free one"
        raise ValueError(f"port {port} on {host} cannot be used ({error.strerror}); give {advice}") from None
    return listening


def serve(
    explorer: Explorer,
    listening: socket.socket,
    *,
    max_side: int,
    source: str,
    ready: Callable[[str], object] = print,
) -> None:
    """Serve the page on the socket until Ctrl-C; `ready` is called with its address."""
    host, port = listening.getsockname()[:2]
    with tempfile.TemporaryDirectory(prefix="segattn-demo-") as folder:
        app = application(explorer, max_side=max_side, source=source, host=host, uploads=folder)
        import uvicorn

        shown = f"[{host}]" if ":" in host else host
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", timeout_graceful_shutdown=1, limit_concurrency=200, server_header=False
            )
        )
        # uvicorn logs errors about pages that are still open when it stops; only what it logs before that matters.
        logging.getLogger("uvicorn.error").addFilter(lambda record: not server.should_exit)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as on Ctrl-C, so that uploads are removed
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has closed everything
            ready(f"http://{shown}:{port}/")  # connections made before the next line wait in the queue
            server.run(sockets=[listening])


def application(explorer: Explorer, *, max_side: int, source: str, host: str, uploads: str) -> Any:
    """The page as an ASGI application that answers only under its own host names; uploads wait in `uploads` to be read."""
    quiet(uploads)
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from segattn.demo.page import ASSETS, build, events

    blocks = build(explorer, max_side=max_side, source=source, folder=Path(uploads))
    blocks.state_session_capacity = MAX_VISITORS
    blocks.has_launched = True  # otherwise Gradio accepts any path of this computer as an upload
    own = ["127.0.0.1", "localhost", "[::1]"] if is_loopback(host) else ["*"]
    # A page of another site whose name resolves to this computer is refused because of the host name in its request.
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=own),
        Middleware(Guard, events=events(blocks), uploads=Uploads(Path(uploads))),
    ]
    outer = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, middleware=guards)
    fonts = ("ui-sans-serif", "system-ui", "sans-serif"), ("ui-monospace", "monospace")
    theme = gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=fonts[0], font_mono=fonts[1])
    return gr.mount_gradio_app(
        outer,
        blocks,
        path="/",
        server_name=host,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=MAX_FILE_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=(ASSETS / "page.css").read_text(encoding="utf-8"),
        head=f"<style>{(ASSETS / 'shell.css').read_text(encoding='utf-8')}</style>",  # what `css` does not reach
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )


def quiet(folder: str) -> None:
    """Keep Gradio and its dependencies from sending anything anywhere, and keep their files in `folder`.

    Raises:
        ValueError: Gradio is not installed, or parts of it are missing.
    """
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the explorer needs Gradio ({error}): pip install 'segattn[demo]'") from None
