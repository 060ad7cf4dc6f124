"""A tagger that may be downloaded: pinned to its bytes, fetched only by a function that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.base.hashing import sha256_of

# Fetches an address into a file; how, and whether there is a network at all, is the caller's business.
Fetch = Callable[[str, Path], None]


@dataclass(frozen=True, slots=True)
class Pinned:
    """A file on the net with the only content that is accepted."""

    name: str
    url: str
    sha256: str
    size_bytes: int


HUB = "https://huggingface.co/SmilingWolf/wd-v1-4-moat-tagger-v2/resolve/8452cddf280b952281b6e102411c50e981cb2908"
# SmilingWolf's tagger of 2023, Apache-2.0: the smallest of its generation that is also among the most exact.
MODEL = Pinned(
    "wd-v1-4-moat-tagger-v2.onnx",
    f"{HUB}/model.onnx",
    "b8cef913be4c9e8d93f9f903e74271416502ce0b4b04df0ff1e2f00df488aa03",
    326_197_340,
)
TAG_LIST = Pinned(
    "wd-v1-4-moat-tagger-v2.csv",
    f"{HUB}/selected_tags.csv",
    "8c8750600db36233a1b274ac88bd46289e588b338218c2e4c62bbc9f2b516368",
    253_906,
)


def obtain(pinned: Pinned, folder: Path, fetch: Fetch | None) -> Path:
    """The file in `folder`, fetched if it is missing; without `fetch` nothing is downloaded.

    A file that is there is used as it is only if its bytes are the pinned ones.
    """
    path = folder / pinned.name
    if path.is_file() and has_content(path, pinned):
        return path
    if fetch is None:
        raise UserError(
            f"{pinned.name} is not there, and downloading was not allowed.",
            where=str(folder),
            todo=f"Allow the download ({pinned.size_bytes / 1e6:.0f} MB), or put there: {pinned.url}",
            code="download-not-allowed",
        )
    with files.replacing(path) as temporary:
        fetch(pinned.url, temporary)
        if not temporary.is_file() or not has_content(temporary, pinned):
            raise FileError(
                "what was downloaded is not the expected file; it was thrown away.",
                where=pinned.url,
                todo="Try again; if it stays so, fetch the file by hand and check where it comes from.",
                code="wrong-content",
            )
    return path


def has_content(path: Path, pinned: Pinned) -> bool:
    """Whether a file's bytes are the pinned ones."""
    return path.stat().st_size == pinned.size_bytes and sha256_of(path) == pinned.sha256
