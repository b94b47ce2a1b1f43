"""A stand-in for the Hugging Face Hub on the loopback address, as far as downloads need it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(repositories: dict[str, Path], revisions: tuple[str, ...] = ("main",)) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as repositories `user/name`; gives the address and the paths that were asked for so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            asked.append(path)
            name = "/".join(path.removeprefix("/api/models/").strip("/").split("/")[:2])
            if name not in repositories:
                return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
            folder, rest = repositories[name], path.partition(name)[2].strip("/").split("/")
            if rest[1:2] and unquote(rest[1]) not in (*revisions, COMMIT):
                return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            if path.startswith("/api/"):
                if rest[0] == "tree":
                    listed = [
                        {"type": "file", "path": file.relative_to(folder).as_posix(), "size": file.stat().st_size,
                         "oid": hashlib.sha1(file.read_bytes()).hexdigest()}
                        for file in files
                    ]  # fmt: skip
                    return self._send(200, json.dumps(listed).encode(), {}, body)
                siblings = [{"rfilename": file.relative_to(folder).as_posix()} for file in files]
                facts = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
                return self._send(200, json.dumps(facts).encode(), {}, body)
            file = folder / "/".join(rest[2:])
            if not file.is_file():
                return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, body)
            content = file.read_bytes()
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self._send(200, content, {"ETag": etag, "X-Repo-Commit": COMMIT}, body)

        def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
