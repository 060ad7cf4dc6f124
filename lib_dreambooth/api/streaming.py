"""Events as a stream that can be taken up again by number, and files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse, StreamingResponse

from lib_dreambooth.runs.events import Event, to_json
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.reading import Follower

POLL_S = 0.25
# Proxies close what says nothing for a minute.
COMMENT_EVERY_S = 15.0
PORTION = 500
MEDIA_TYPE = "text/event-stream"
# How long a browser waits before it takes up a lost stream. A page left open asks a WebUI that is just
# starting, and a request between AUTOMATIC1111's page and its API (0.3 s) ends that start with an error.
AGAIN_MS = 15_000
# A proxy that collects the stream first would make it useless, and so would the WebUI's gzip, which leaves
# alone what has an encoding.
HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-store", "Content-Encoding": "identity"}


def stream(folder: ModelFolder, since: int) -> StreamingResponse:
    """Server-sent events from a number on, for as long as somebody listens."""
    return EventStream(folder.events_path, since)


class EventStream(StreamingResponse):
    """Ends with its server: a WebUI that is reloaded waits until nobody listens any more."""

    def __init__(self, path: Path, since: int) -> None:
        self._app: object = None
        super().__init__(
            lines(path, since, lambda: is_closing(self._app)), media_type=MEDIA_TYPE, headers=HEADERS
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._app = scope.get("app")
        await super().__call__(scope, receive, send)


def is_closing(app: object) -> bool:
    """Whether the server of gradio's app was told to end; others end without waiting."""
    server = getattr(getattr(app, "blocks", None), "server", None)
    return bool(getattr(server, "should_exit", False))


async def lines(path: Path, since: int, is_over: Callable[[], bool] = lambda: False) -> AsyncIterator[str]:
    """The text of the stream."""
    follower = Follower(path, since)
    quiet_s = 0.0
    yield f"retry: {AGAIN_MS}\n\n"
    while not is_over():
        # The first look may read a long file.
        found = await asyncio.get_running_loop().run_in_executor(None, follower.poll)
        for begin in range(0, len(found), PORTION):
            yield "".join(map(message, found[begin : begin + PORTION]))
        if not found and not path.parent.is_dir():
            # The model was deleted: whoever asks again is told so.
            return
        quiet_s = 0.0 if found else quiet_s + POLL_S
        if quiet_s >= COMMENT_EVERY_S:
            yield ": still here\n\n"
            quiet_s = 0.0
        await asyncio.sleep(POLL_S)


def message(event: Event) -> str:
    """One event; JSON in one line holds no line end of its own."""
    data = json.dumps(to_json(event), ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.sequence}\ndata: {data}\n\n"


def file_response(path: Path, media_type: str, *, name: str = "") -> FileResponse:
    """A file as it is; with a name it is to be kept and never shown."""
    return FileResponse(str(path), media_type=media_type, filename=name or None)
