"""A small hub on this machine: one repository, with ranges, cut connections, refusals and wrong bytes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = 1000
"""From this many bytes on a file is kept apart from Git, and has a SHA-256."""


@dataclass
class Hub:
    """`files` by path. `cuts` says after how many bytes connections that send a file break, one after the other."""

    name: str
    files: dict[str, bytes]
    card: dict[str, str] = field(default_factory=dict)
    revision: str = "0" * 40
    cuts: dict[str, list[int]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    refusal: tuple[int, str] | None = None
    """Status and error code of each answer that sends a file."""
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Paths and ranges of the files that were asked for."""
    url: str = ""

    @staticmethod
    def of_folder(name: str, folder: Path) -> Hub:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return Hub(name, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files})

    def about(self) -> dict[str, object]:
        siblings = []
        for path, content in self.files.items():
            sibling: dict[str, object] = {"rfilename": path, "size": len(content)}
            sibling["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if len(content) >= LARGE:
                sha256 = hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(sibling)
        return {"id": self.name, "sha": self.revision, "siblings": siblings, "cardData": self.card, "private": False}


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path == f"/api/models/{hub.name}":
                self._answer(200, json.dumps(hub.about()).encode())
            elif (file := path.removeprefix(f"/{hub.name}/resolve/{hub.revision}/")) in hub.files:
                self._send(file)
            else:
                self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

        def _send(self, file: str) -> None:
            wanted = self.headers.get("Range", "")
            hub.asked.append((file, wanted))
            if hub.refusal is not None:
                self._answer(hub.refusal[0], b"", {"X-Error-Code": hub.refusal[1]} if hub.refusal[1] else {})
                return
            content = hub.files[file]
            if file in hub.damaged:
                content = bytes(len(content))
            start = int(wanted.removeprefix("bytes=").partition("-")[0] or 0) if hub.ranges else 0
            cuts = hub.cuts.get(file, [])
            end = start + cuts.pop(0) if cuts else len(content)
            more = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            self._answer(206 if hub.ranges else 200, content[start:end], more, length=len(content) - start)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
