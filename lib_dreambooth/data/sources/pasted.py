"""A path as people paste it, as a path."""

from __future__ import annotations

import os
import re
import urllib.parse
import urllib.request
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import from_home

# The Windows security dialog puts a direction mark in front of a path; web pages add widthless spaces.
INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "「": "」", "`": "`"}


def clean_path(text: str, where: str = "folder") -> Path:
    """The path meant by pasted text: without quotes, `file://`, invisible marks and spaces around it."""
    plain = INVISIBLE.sub("", text).strip()
    while len(plain) > 1 and QUOTES.get(plain[0]) == plain[-1]:
        plain = plain[1:-1].strip()
    if not plain:
        raise UserError("no folder is given.", where=where, todo="Choose the folder with the pictures.")
    if "\0" in plain or "\n" in plain:
        raise UserError(
            "is not one path.",
            where=where,
            todo="Give a single folder, without line breaks.",
            code="bad-path",
        )
    if plain.lower().startswith("file:"):
        plain = from_url(plain)
    path = from_home(plain)
    return path if exists(path) else with_shell_forms(plain, path)


def from_url(url: str) -> str:
    """The path of a `file:` address; a host in it becomes a network share."""
    parts = urllib.parse.urlsplit(url)
    path = urllib.request.url2pathname(parts.path)
    return f"//{parts.netloc}{path}" if parts.netloc not in ("", "localhost") else path


def with_shell_forms(plain: str, otherwise: Path) -> Path:
    """What a shell would make of the text, where that exists: variables, and `\\ ` for a space."""
    candidates = [os.path.expandvars(plain)]
    if os.name != "nt":
        candidates.append(re.sub(r"\\(.)", r"\1", plain))
    return next((Path(text) for text in candidates if text != plain and exists(Path(text))), otherwise)


def exists(path: Path) -> bool:
    """`Path.exists`, False where the system refuses the name itself."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
