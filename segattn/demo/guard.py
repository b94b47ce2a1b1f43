"""What is let in to the page's server, whatever Gradio would do with it.

Gradio reads files that a message names, where a page is mounted and not launched, and fetches addresses; it serves files that it
keeps. This page needs none of that: pictures come in as uploads and go out within the page.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

MAX_MESSAGE_BYTES = 64 * 2**10
"""Of a click and the like."""
_HEADERS = [
    # A browser may load nothing for the page from any other host.
    (b"content-security-policy", b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
     b"connect-src 'self' data: blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]  # fmt: skip
_MESSAGE, _UPLOAD = "/gradio_api/queue/join", "/gradio_api/upload"
_ANSWERS = re.compile(r"/gradio_api/(heartbeat/\w+|queue/data|upload_progress|startup-events)/?")


class Guard:
    """ASGI middleware: the page, its scripts' messages and uploads pass; other sites' pages and everything else do not."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        status = refusal(scope)
        body = None
        if not status and scope.get("path", "").rstrip("/") == _MESSAGE:
            body = await _read(receive)
            status = 413 if body is None else 0 if is_harmless(body) else 400
        if status:
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"This page answers its own scripts only."})
            return
        waiting = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return waiting.pop() if waiting else await receive()

        async def add(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
            await send(message)

        await self.app(scope, again, add)


def refusal(scope: Any) -> int:
    """The status with which a request is refused for what it asks and whence it comes, 0 if it is not."""
    sent = dict(scope.get("headers", ()))
    origin = sent.get(b"origin", b"").decode("latin-1")
    if scope["type"] != "http" or (origin and urlsplit(origin).netloc != sent.get(b"host", b"").decode("latin-1")):
        return 403
    method, path = scope["method"], scope["path"].rstrip("/")
    if method == "POST":
        return 0 if path in (_MESSAGE, _UPLOAD) else 404
    if method not in ("GET", "HEAD"):
        return 405
    named = path.startswith(("/gradio_api", "/file", "/stream", "/proxy", "/monitoring"))
    return 404 if named and not _ANSWERS.fullmatch(path) else 0


def is_harmless(body: bytes) -> bool:
    """Whether a message is JSON that names no file for Gradio to read."""
    try:
        return "gradio.FileData" not in json.dumps(json.loads(body))
    except (ValueError, RecursionError):
        return False


async def _read(receive: Any) -> bytes | None:
    """The whole body, None where it is too long."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_MESSAGE_BYTES:
            return None
    return body
