"""Routes that are made when the first of them is asked for: they bring the engine with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.routing import BaseRoute, Match

PREFIX = "/dreambooth/"
# The description of all routes lists ours, too.
DESCRIPTION = "/openapi.json"


class LazyRoutes(BaseRoute):
    """Stands in an app for what `make` gives; replaced by it at the first request that it would answer."""

    def __init__(self, app: Any, make: Callable[[], Any]) -> None:
        self._app = app
        self._make = make
        self._loading = threading.Lock()
        self._is_made = False

    def stand_in(self) -> None:
        """Before all other routes, so that a route for every path is no hindrance."""
        self._app.router.routes.insert(0, self)

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Whether a request is for us."""
        path, root = scope.get("path", ""), scope.get("root_path", "").rstrip("/")
        path = path[len(root) :] if root and path.startswith(f"{root}/") else path
        is_ours = not self._is_made and scope["type"] in ("http", "websocket")
        if is_ours and (path.startswith(PREFIX) or path == DESCRIPTION):
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Makes the routes, then has the app look again."""
        await run_in_threadpool(self._load)
        await self._app.router(scope, receive, send)

    def _load(self) -> None:
        with self._loading:
            if self._is_made:
                return
            self._app.include_router(self._make())
            self._app.openapi_schema = None
            self._is_made = True
