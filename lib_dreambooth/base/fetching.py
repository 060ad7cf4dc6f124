"""A file over the network, when somebody asked for it: piece by piece, taken up again, checked."""

from __future__ import annotations

import contextlib
import http.client
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import unwritable

PIECE = 1 << 20
TIMEOUT_S = 30
PARTIAL = 206

# Gets the length of each piece that has come; may raise Cancelled.
Counting = Callable[[int], None]


class KeepsSecrets(urllib.request.HTTPRedirectHandler):
    """Another server than the one that was asked is not told who asks."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and urllib.parse.urlsplit(newurl).netloc != req.host:
            made.remove_header("Authorization")
        return made


def fetch_into(
    url: str, target: Path, counting: Counting, headers: Mapping[str, str] | None = None, *, todo: str = ""
) -> None:
    """Writes what the address gives behind what `target` holds already; raises UserError, or Cancelled."""
    begun = target.stat().st_size if target.exists() else 0
    wanted = {**(headers or {}), **({"Range": f"bytes={begun}-"} if begun else {})}
    with contextlib.ExitStack() as stack:
        with told_of(url, todo):
            answer = stack.enter_context(opened(url, wanted))
        goes_on = bool(begun) and answer.status == PARTIAL
        if goes_on:
            counting(begun)
        try:
            file = stack.enter_context(target.open("ab" if goes_on else "wb"))
            while True:
                with told_of(url, todo):
                    piece = answer.read(PIECE)
                if not piece:
                    return
                file.write(piece)
                counting(len(piece))
        except OSError as error:
            raise unwritable(target, error) from error


@contextlib.contextmanager
def told_of(url: str, todo: str = "") -> Iterator[None]:
    """What goes wrong on the way to an address, as a UserError."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"could not be downloaded ({error}).",
            where=url,
            todo=todo or "Look at the connection and try again: what has arrived is kept.",
            code="no-network",
        ) from error


def opened(url: str, headers: Mapping[str, str] | None = None) -> Any:
    """The open answer of an address."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    return urllib.request.build_opener(KeepsSecrets).open(request, timeout=TIMEOUT_S)
