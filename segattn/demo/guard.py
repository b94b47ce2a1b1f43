"""What is let in to the page's server, whatever Gradio would do with it.

Gradio reads files that a message names, where a page is mounted and not launched, and fetches addresses; it serves files that it
keeps. This page needs none of that: pictures come in as uploads and go out within the page.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segattn.demo.pictures import MAX_FILE_BYTES
from segattn.demo.uploads import Uploads

Events = Mapping[int, Sequence[Callable[[Any], bool]]]

MAX_MESSAGE_BYTES = 64 * 2**10
"""Of a click and the like."""
MAX_WAITING = 5
"""Uploads that are received at the same time; each is held in memory until it is complete."""
SILENCE = 30.0
"""Seconds without data after which a message or an upload is given up."""
_HEADERS = [
    # A browser may load nothing for the page from any other host.
    (b"content-security-policy", b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
     b"connect-src 'self' data: blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]  # fmt: skip
_MESSAGE, _UPLOAD, _HEARTBEAT = "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/heartbeat/"
_ANSWERS = re.compile(r"/gradio_api/(heartbeat/\w+|queue/data|upload_progress|startup-events)/?")
_FIELDS = ("fn_index", "session_hash", "data", "event_data", "trigger_id")
_COOKIE = re.compile(rb"(?:^|;\s*)segattn-visitor=([\w-]{22})(?:;|$)")


class Guard:
    """ASGI middleware: the page, its scripts' messages and uploads pass; other sites' pages and everything else do not.

    Args:
        events: the page's events by number, each with a check of every value that a message about it has.
        uploads: what has been uploaded; a cookie tells whose it is, and the page's heartbeat when its visitor leaves.
    """

    def __init__(self, app: Any, events: Events, uploads: Uploads) -> None:
        self.app, self.events, self.uploads = app, events, uploads
        self.waiting, self.one_at_a_time = 0, asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if status := refusal(scope):
            await _refuse(send, status)
            return
        cookie = _COOKIE.search(_header(scope, b"cookie"))
        visitor, path = cookie[1].decode() if cookie else "", scope["path"].rstrip("/")
        added = list(_HEADERS)
        if not path and not cookie:
            value = f"segattn-visitor={secrets.token_urlsafe(16)}; Path=/; HttpOnly; SameSite=Strict"
            added.append((b"set-cookie", value.encode()))

        async def add(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        if path == _MESSAGE:
            await self._message(scope, receive, add)
        elif path == _UPLOAD:
            await self._upload(visitor, scope, receive, add)
        elif path.startswith(_HEARTBEAT):
            with self.uploads.visit(visitor):
                await self.app(scope, receive, add)
        else:
            await self.app(scope, receive, add)

    async def _message(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _read(receive, MAX_MESSAGE_BYTES)
        message = body if isinstance(body, int) else expected(body, self.events) or 400
        if isinstance(message, int):
            await _refuse(send, message)
            return
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        length = (b"content-length", str(len(message)).encode())
        await self.app({**scope, "headers": [*headers, length]}, _again(message, receive), send)

    async def _upload(self, visitor: str, scope: Any, receive: Any, send: Any) -> None:
        """Pass an upload on once it is complete, so that a connection that breaks leaves no file behind."""
        if self.waiting >= MAX_WAITING:
            await _refuse(send, 503)
            return
        self.waiting += 1
        try:
            body = await _read(receive, MAX_FILE_BYTES + MAX_MESSAGE_BYTES)
            if isinstance(body, int):
                await _refuse(send, body)
                return
            async with self.one_at_a_time:
                with self.uploads.taking(visitor, len(body)):
                    await self.app(scope, _again(body, receive), send)
        finally:
            self.waiting -= 1


def refusal(scope: Any) -> int:
    """The status with which a request is refused for what it asks and whence it comes, 0 if it is not."""
    origin, host = (_header(scope, name).decode("latin-1") for name in (b"origin", b"host"))
    if scope["type"] != "http" or (origin and origin != f"{scope['scheme']}://{host}"):
        return 403
    method, path = scope["method"], scope["path"].rstrip("/")
    if method == "POST":
        return 0 if path in (_MESSAGE, _UPLOAD) else 404
    if method not in ("GET", "HEAD"):
        return 405
    named = path.startswith(("/gradio_api", "/file", "/stream", "/proxy", "/monitoring"))
    return 404 if named and not _ANSWERS.fullmatch(path) else 0


def expected(body: bytes, events: Events) -> bytes | None:
    """What Gradio gets of a message: the fields that the page's script sends. None unless its event and values are the page's.

    >>> expected(b'{"fn_index": 3, "session_hash": "ab1", "data": ["fcn"], "batched": true}', {3: [str.islower]})
    b'{"fn_index": 3, "session_hash": "ab1", "data": ["fcn"], "event_data": null, "trigger_id": null}'
    >>> expected(b'{"fn_index": 4, "session_hash": "ab1", "data": ["fcn"]}', {3: [str.islower]})
    """
    try:
        message = json.loads(body)
        sent = {name: message.get(name) for name in _FIELDS} if isinstance(message, dict) else {}
        text = json.dumps(sent, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    number, session, values = sent.get("fn_index"), sent.get("session_hash"), sent.get("data")
    if type(number) is not int or number not in events:  # Gradio takes True and "1" for 1
        return None
    if not isinstance(session, str) or not re.fullmatch(r"\w{1,64}", session):
        return None
    checks = events[number]
    if not isinstance(values, list) or len(values) != len(checks) or "gradio.FileData" in text:
        return None
    return text.encode() if all(fits(value) for fits, value in zip(checks, values, strict=True)) else None


def _header(scope: Any, name: bytes) -> bytes:
    return dict(scope.get("headers", ())).get(name, b"")


async def _refuse(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"This page answers its own scripts only."})


async def _read(receive: Any, limit: int) -> bytes | int:
    """The whole body, or the status with which it is refused: it is too long, breaks off or stops."""
    parts, size, more = [], 0, True
    while more:
        try:
            message = await asyncio.wait_for(receive(), SILENCE)
        except TimeoutError:
            return 408
        if message["type"] == "http.disconnect":
            return 400
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > limit:
            return 413
    return b"".join(parts)


def _again(body: bytes, receive: Any) -> Any:
    """A `receive` that returns the body that was read, and then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return waiting.pop() if waiting else await receive()

    return again
