"""The page without a WebUI: our routes, gradio's frame around the page, and our scripts in its head."""

from __future__ import annotations

import html
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

ROOT = Path(__file__).resolve().parents[2]
FILES = "/dreambooth/page"
SCRIPTS, STYLE = "javascript", "style.css"
FONTS = ("system-ui", "sans-serif")
# The page talks to this program and to nobody else; gradio's own page names other machines for its fonts.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "frame-ancestors 'self'; base-uri 'self'; form-action 'self'"
)
# Gradio keeps a margin for its logo and a narrow column.
FRAME = ".gradio-container{max-width:none!important;padding:0 20px!important}footer{display:none!important}"

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Program = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[Message]], Send], Awaitable[None]]


def page_files(root: Path = ROOT) -> dict[str, Path]:
    """What the page's head loads, by the name in its address."""
    scripts = sorted((root / SCRIPTS).glob("*.js"))
    return {path.name: path for path in (root / STYLE, *scripts)}


def head_of(files: dict[str, Path]) -> str:
    """The lines for the page's head; a file's time in its address gets a new one past the browser's store."""
    lines = [f"<style>{FRAME}</style>"]
    for name, path in files.items():
        address = html.escape(f"{FILES}/{name}?{path.stat().st_mtime_ns}", quote=True)
        is_style = name == STYLE
        lines.append(
            f'<link rel="stylesheet" href="{address}">'
            if is_style
            else f'<script src="{address}" defer></script>'
        )
    return "".join(lines)


def add_page(app: FastAPI, blocks: Callable[..., Any]) -> FastAPI:
    """Mounts the page at the root of an app that has its routes already; gives the app to serve."""
    import gradio
    from fastapi.responses import FileResponse

    files = page_files()

    async def file_of_page(name: str) -> Any:
        from fastapi import HTTPException

        if name not in files:
            raise HTTPException(404)
        return FileResponse(files[name])

    app.add_api_route(f"{FILES}/{{name}}", file_of_page, include_in_schema=False)
    app.add_middleware(InHead, files=files)
    theme = gradio.themes.Default(font=list(FONTS), font_mono=["monospace"])
    # Gradio 6 takes the theme where the page is mounted, older ones where it is made.
    takes = inspect.signature(gradio.mount_gradio_app).parameters
    wanted = {"theme": theme, "ssr_mode": False, "show_error": True}
    given = {name: value for name, value in wanted.items() if name in takes}
    page = blocks() if "theme" in takes else blocks(theme=theme)
    return gradio.mount_gradio_app(app, page, path="/", **given)


class InHead:
    """Puts our lines into the head of the page at the root, whichever gradio made it."""

    def __init__(self, app: Program, files: dict[str, Path]) -> None:
        self.app = app
        self.files = files

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Send
    ) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: list[Message] = []
        parts: list[bytes] = []

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.append(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._send(start[0], b"".join(parts), send)

        await self.app({**scope, "headers": plain}, receive, hold)

    async def _send(self, start: Message, body: bytes, send: Send) -> None:
        headers = [(name.lower(), value) for name, value in start["headers"]]
        if dict(headers).get(b"content-type", b"").startswith(b"text/html"):
            body = body.replace(b"</head>", head_of(self.files).encode() + b"</head>", 1)
            headers.append((b"content-security-policy", POLICY.encode()))
        headers = [one for one in headers if one[0] != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": body})
