"""Who may call: whoever the host lets in, from the host's own pages or from no page at all."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import Request

from lib_dreambooth.base.host import Host, HostPaths

# Carried by the page of a host that asks only programs for a password: who may load it may use it.
TOKEN_HEADER, TOKEN_QUERY = "x-dreambooth-token", "token"
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@lru_cache(maxsize=1)
def page_token() -> str:
    """What the page sends where the host asks programs for a password and its page for none."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Refusal:
    """Why a call is not answered, with the status that HTTP has for it."""

    status: int
    code: str
    what: str
    todo: str = ""


@dataclass(frozen=True)
class Access:
    """What is asked of a caller.

    `login` says whether the host's page asks for a login and, if so, whether this request has one. `names`
    are those that this server may be called by, empty for any. `token` is what the page of this process has.
    """

    login: Callable[[Request], bool | None]
    names: frozenset[str] = frozenset()
    token: str = field(default_factory=page_token, repr=False)

    def refusal(self, request: Request, host: Host) -> Refusal | None:
        """What is wrong with a call before anything of it is looked at."""
        return foreign(request, self.names) or self._stranger(request, host)

    def _stranger(self, request: Request, host: Host) -> Refusal | None:
        has_login = self.login(request)
        users = host.settings.api_users
        if has_login or (has_login is None and not users):
            return None
        if users and knows_password(request, users):
            return None
        if self._has_token(request):
            return None
        return Refusal(
            401, "not-logged-in", "this needs a login.", "Log in to the page, or send its password."
        )

    def _has_token(self, request: Request) -> bool:
        sent = request.headers.get(TOKEN_HEADER) or request.query_params.get(TOKEN_QUERY) or ""
        return same(sent, self.token)


def gradio_login(request: Request) -> bool | None:
    """Whether gradio's login was passed; None where the page asks for none."""
    app = request.app
    asks = getattr(app, "auth", None) or getattr(app, "auth_dependency", None)
    if not asks:
        return None
    tokens = getattr(app, "tokens", None) or {}
    cookie_id = getattr(app, "cookie_id", "")
    names = ["access-token", "access-token-unsecure"]
    names += [f"access-token-{cookie_id}", f"access-token-unsecure-{cookie_id}"] if cookie_id else []
    return any(request.cookies.get(name) in tokens for name in names if request.cookies.get(name))


def open_to_all(request: Request) -> bool | None:
    """For a page that asks for no login."""
    return None


def knows_password(request: Request, users: Mapping[str, str]) -> bool:
    """Whether HTTP Basic names a user with the right password; every pair is compared in full."""
    scheme, _, code = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        name, colon, password = base64.b64decode(code, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return False
    hits = [same(name, user) & same(password, known) for user, known in users.items()]
    return bool(colon) and any(hits)


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell how much of them is."""
    return bool(other) and secrets.compare_digest(one.encode("utf-8"), other.encode("utf-8"))


def foreign(request: Request, names: frozenset[str]) -> Refusal | None:
    """Refuses what a page of another site has a browser send."""
    here = request.headers.get("host", "")
    if names and host_name(here) not in names:
        return Refusal(403, "foreign-host", "this server is not called by that name.", "Use its own address.")
    refused = Refusal(
        403, "foreign-origin", "this was sent by a page of another site.", "Use the page itself."
    )
    origin = request.headers.get("origin")
    if origin is not None:
        try:
            sender = urlsplit(origin).netloc.lower()
        except ValueError:
            return refused
        # Behind a proxy the name that the browser knows comes beside; no page can make it up unasked.
        own = {here.lower(), request.headers.get("x-forwarded-host", "").lower()} - {""}
        return None if sender in own else refused
    # Pictures and links send no origin; browsers say where they come from all the same.
    return refused if request.headers.get("sec-fetch-site") == "cross-site" else None


def host_name(text: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{text}").hostname or "").lower()
    except ValueError:
        return ""


def allowed_folders(paths: HostPaths) -> list[Path]:
    """Where callers may name files and folders who must not choose any of this machine."""
    more = paths.more_checkpoints
    own = (paths.models, paths.adapters, paths.checkpoints, paths.embeddings, paths.vae, paths.diffusers)
    return [*own, *more]
