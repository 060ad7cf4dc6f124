"""A hub on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    """Models by id, each a path and its bytes. `cut` ends an answer early once, `lies` gives other bytes."""

    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    cut: int = 0
    lies: bool = False
    address: str = ""

    def about(self, model: str) -> dict[str, object]:
        siblings = [
            {
                "rfilename": path,
                "size": len(data),
                **({"lfs": {"sha256": hashlib.sha256(data).hexdigest()}} if path.endswith("s") else {}),
            }
            for path, data in self.models[model].items()
        ]
        return {"sha": "abc123", "siblings": siblings}


@contextmanager
def serving() -> Iterator[Hub]:
    """The hub while the block lasts."""
    found = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, self.headers.get("Range", "")))
            parts = self.path.split("?")[0].split("/")
            is_api = parts[1] == "api"
            model = "/".join(parts[3:5] if is_api else parts[1:3])
            if model not in found.models:
                self.send_error(404)
                return
            if is_api:
                self.give(json.dumps(found.about(model)).encode(), 200)
                return
            data = found.models[model]["/".join(parts[5:])]
            begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
            data = data[::-1] if found.lies else data
            self.give(data[begin:], 206 if begin else 200)

        def give(self, data: bytes, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            cut, found.cut = found.cut, 0
            self.wfile.write(data[:cut] if cut and status != 404 and len(data) > cut else data)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
