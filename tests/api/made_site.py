"""The routes on a host of plain folders, called without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from lib_dreambooth.api.access import Access, open_to_all
from lib_dreambooth.api.routes import router
from lib_dreambooth.base.host import HostSettings
from lib_dreambooth.jobs.worker import Worker
from tests.jobs.made_host import PlainHost

BASE = "http://testserver"
V1 = "/dreambooth/v1"


class Made:
    """An app with the routes, its host and worker, and a client that sends what its own page would."""

    def __init__(
        self,
        root: Path,
        settings: HostSettings | None = None,
        login: Callable[[Request], bool | None] = open_to_all,
        names: frozenset[str] = frozenset(),
    ) -> None:
        self.host = PlainHost(root, settings)
        self.worker = Worker(self.host)
        self.access = Access(login, names)
        self.app = FastAPI()
        self.app.include_router(router(self.worker, self.host, self.access))
        self.client = TestClient(self.app, BASE)

    def call(self, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        """The answer's JSON; its status has to be the one that is awaited."""
        sent = {"json": body if body is not None else {}} if method in ("POST", "PUT") else {}
        answer = self.client.request(method, V1 + path, **sent, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str, status: int = 200, **more: Any) -> Any:
        return self.call("GET", path, status=status, **more)

    def post(self, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        return self.call("POST", path, body, status, **more)
