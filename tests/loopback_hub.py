"""A Hugging Face hub of two small servers on this machine, which keeps count of what it is asked and can misbehave.

`HEAD /{repository}/resolve/{revision}/{file}`, after `/datasets` for data sets, tells a file's etag, size and commit.
Large files lie on the other server, as they do in reality: the hub redirects there, and tells in headers of its own
what will be found.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    start: int
    """Offset of the range that was asked for; 0 for a whole file."""
    token: str | None
    agent: str
    store: bool
    """Whether it came to the server that keeps large files."""


@dataclass
class LoopbackHub:
    """What the servers have, and how they behave. Change it at any time."""

    files: dict[str, bytes] = field(default_factory=dict)
    """By `repository/file`; repositories of data sets begin with `datasets/`."""
    large: bool = True
    """Whether files lie on the other server, and their etag is their SHA-256."""
    etag: str | None = None
    """Instead of the true one."""
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next downloads break; the last one goes for all that follow. Empty: none breaks."""
    ranges: bool = True
    """Whether a download may start in the middle."""
    failure: tuple[int, str] | None = None
    """Status and `X-Error-Code` of every answer."""
    commit: str | None = COMMIT
    asked: list[Asked] = field(default_factory=list)
    ports: tuple[int, int] = (0, 0)
    """Of the hub, which goes by its number, and of the other server, which goes by its name."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def add(self, path: str, content: bytes) -> None:
        self.files[path] = content

    @property
    def downloads(self) -> list[int]:
        """Offsets of the downloads so far."""
        return [each.start for each in self.asked if each.method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LoopbackHub
    store: bool

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        hub = self.hub
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") : -1])
        token, agent = self.headers.get("Authorization"), self.headers.get("User-Agent", "")
        hub.asked.append(Asked(self.command, self.path, start, token, agent, self.store))
        kind = "datasets/" if self.path.startswith("/datasets/") else ""
        owner, name, _, revision, file = [*self.path[1 + len(kind) :].split("/", 4), "", "", "", ""][:5]
        content = hub.files.get(f"{kind}{owner}/{name}/{file}")
        if hub.failure is not None or content is None or revision not in ("main", COMMIT, hub.commit):
            status, code = hub.failure or (404, "EntryNotFound")
            self._send(status, {"X-Error-Code": code} if code else {}, b"", body)
            return
        etag = hub.etag or hashlib.sha256(content).hexdigest()
        facts = {"ETag": f'"{etag if hub.large else etag[:40]}"', "Accept-Ranges": "bytes"}
        if hub.commit is not None:
            facts["X-Repo-Commit"] = hub.commit
        if hub.large and not self.store:
            facts |= {"X-Linked-Etag": facts["ETag"], "X-Linked-Size": str(len(content))}
            facts["Location"] = f"http://localhost:{hub.ports[1]}{self.path}"
            self._send(302, facts, b"", body)
        elif start and hub.ranges:
            facts["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206, facts, content[start:], body, start)
        else:
            self._send(200, facts, content, body)

    def _send(self, status: int, headers: dict[str, str], content: bytes, body: bool, start: int = 0) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return
        cuts = self.hub.cuts
        cut = None
        if cuts and status < 300:
            cut = max((cuts.pop(0) if len(cuts) > 1 else cuts[0]) - start, 0)
        self.wfile.write(content[:cut])
        self.wfile.flush()
        self.close_connection = cut is not None


@contextlib.contextmanager
def serving() -> Iterator[LoopbackHub]:
    """Run a hub for the length of a block."""
    hub = LoopbackHub()
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub, "store": store}))
        for store in (False, True)
    ]
    hub.ports = (servers[0].server_address[1], servers[1].server_address[1])
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
