"""Captions of many pictures in one pass: each folder is listed once, its files agree on an encoding."""

from __future__ import annotations

import errno
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib_dreambooth.data.captions import problems
from lib_dreambooth.data.captions.decode import Decoded, decode, needs_a_guess
from lib_dreambooth.data.captions.legacy import guess_legacy
from lib_dreambooth.data.captions.records import (
    NotACaption,
    caption_from_json,
    caption_from_name,
    without_face_box,
)
from lib_dreambooth.data.item import NO_CAPTION, CaptionOrigin, CaptionText, Finding

EXTENSIONS = (".txt", ".caption", ".json")
# A caption of 5,000 tokens is about 25 KB; a megabyte beside a picture is something else.
LARGEST_CAPTION_BYTES = 1_000_000
# Spaces mean nothing to a tokenizer, and patterns that look for spaces take long over thousands of them.
LONG_GAP = re.compile(r"\s{33,}")
# A few hundred captions settle a folder's encoding; more would only take time.
VOTERS = 300


@dataclass
class _Folder:
    """Names in one folder, for looking up without asking the disk again, and the bytes of its captions."""

    path: Path
    names: dict[str, str]
    raw: dict[str, bytes] = field(default_factory=dict)
    hint: str | None = None


def read_captions(
    pictures: Sequence[str],
    extensions: Sequence[str] = EXTENSIONS,
    use_names: bool = True,
    separator: str = ",",
) -> tuple[list[CaptionText], list[Finding]]:
    """A caption for each picture, in their order, and what was wrong with the files.

    The first of `extensions` that a picture has wins; `use_names` takes the file's name where it has none.
    """
    findings: list[Finding] = []
    folders: dict[Path, _Folder] = {}
    places: list[tuple[_Folder, Path, str | None]] = []
    for picture in map(Path, pictures):
        if picture.parent not in folders:
            folders[picture.parent] = _Folder(picture.parent, _listing(picture.parent))
        folder = folders[picture.parent]
        name = _caption_name(picture, folder.names, extensions)
        places.append((folder, picture, name))
        if name is not None and name not in folder.raw:
            _read_into(folder, name, findings)
    for folder in folders.values():
        folder.hint = shared_encoding(folder.raw.values())
    captions = [
        _from_name(picture, use_names) if name is None else _from_file(folder, name, separator, findings)
        for folder, picture, name in places
    ]
    return captions, findings


def decode_together(raw: dict[str, bytes]) -> dict[str, Decoded]:
    """Text of files that lie in one folder: those that only a legacy encoding explains vote on it."""
    hint = shared_encoding(raw.values())
    return {name: decode(data, hint) for name, data in raw.items()}


def shared_encoding(samples: Iterable[bytes]) -> str | None:
    """The legacy encoding of a folder's files, None where all of them are plain."""
    doubtful = [data for data in samples if needs_a_guess(data)]
    return guess_legacy(doubtful[:VOTERS])[0] if doubtful else None


def caption_lines(text: str) -> tuple[str, ...]:
    """The lines of a caption that hold something, without control characters and outer spaces."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").split("\n")
    cleaned = ("".join(" " if unicodedata.category(c) == "Cc" else c for c in line).strip() for line in lines)
    return tuple(LONG_GAP.sub(" ", line) for line in cleaned if line)


def find_captions(
    pictures: Sequence[Path | str], extensions: Sequence[str] = EXTENSIONS
) -> list[Path | None]:
    """The caption file of each picture; every folder is listed once."""
    listings: dict[Path, dict[str, str]] = {}
    found: list[Path | None] = []
    for picture in map(Path, pictures):
        if picture.parent not in listings:
            listings[picture.parent] = _listing(picture.parent)
        name = _caption_name(picture, listings[picture.parent], extensions)
        found.append(None if name is None else picture.parent / name)
    return found


def _listing(folder: Path) -> dict[str, str]:
    """Every name in a folder under its exact and its forgiving form; empty where it cannot be read."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    found = {_forgiving(name): name for name in reversed(names)}
    return found | {name: name for name in names}


def _forgiving(name: str) -> str:
    # macOS writes names decomposed; copies between systems then differ though they look the same.
    return unicodedata.normalize("NFC", name).casefold()


def _caption_name(picture: Path, names: dict[str, str], extensions: Sequence[str]) -> str | None:
    for base in dict.fromkeys((picture.stem, picture.name, without_face_box(picture.stem))):
        for extension in extensions:
            found = names.get(base + extension) or names.get(_forgiving(base + extension))
            if found is not None and found != picture.name:
                return found
    return None


def _read_into(folder: _Folder, name: str, findings: list[Finding]) -> None:
    path = folder.path / name
    try:
        if not path.is_file():
            # A folder, or a pipe from which reading may never end.
            raise OSError(errno.EINVAL, "not a file")
        with path.open("rb") as file:
            data = file.read(LARGEST_CAPTION_BYTES + 1)
    except OSError as error:
        findings.append(problems.unreadable(str(path), error))
        return
    if len(data) > LARGEST_CAPTION_BYTES:
        findings.append(problems.too_long(str(path), LARGEST_CAPTION_BYTES))
        data = data[:LARGEST_CAPTION_BYTES]
    folder.raw[name] = data


def _from_name(picture: Path, use_names: bool) -> CaptionText:
    text = caption_from_name(picture.stem) if use_names else ""
    return CaptionText(text, "name") if text else NO_CAPTION


def _from_file(folder: _Folder, name: str, separator: str, findings: list[Finding]) -> CaptionText:
    if name not in folder.raw:
        return NO_CAPTION
    path = folder.path / name
    decoded = decode(folder.raw[name], folder.hint)
    findings += problems.damage(str(path), decoded)
    extension = path.suffix.casefold()
    if extension != ".json":
        origin: CaptionOrigin = "caption" if extension == ".caption" else "txt"
        return CaptionText(decoded.text, origin, str(path))
    try:
        return CaptionText(caption_from_json(decoded.text, separator), "json", str(path))
    except NotACaption as error:
        findings.append(problems.no_caption_inside(str(path), str(error)))
        return NO_CAPTION
