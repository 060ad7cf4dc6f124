"""A login in front of everything: for a page that other machines may reach."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Program = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
CLOSED = b"This page needs a name and a password."


class Door:
    """Lets in who names a user with the right password, by HTTP Basic; browsers ask their user for it."""

    def __init__(self, app: Program, users: Mapping[str, str]) -> None:
        self.app = app
        self.users = users

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self.knows(dict(scope["headers"]).get(b"authorization", b"")):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"www-authenticate", b'Basic realm="Dreambooth"'), (b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": CLOSED})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def knows(self, header: bytes) -> bool:
        """Whether a header names a user with the right password; every pair is compared in full."""
        scheme, _, code = header.partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            sent = base64.b64decode(code, validate=True)
        except (binascii.Error, ValueError):
            return False
        pairs = [f"{name}:{password}".encode() for name, password in self.users.items()]
        hits = [secrets.compare_digest(sent, pair) for pair in pairs]
        return any(hits)
