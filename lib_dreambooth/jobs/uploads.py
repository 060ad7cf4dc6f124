"""Pictures that arrive through the page: put below the folder of models, each upload in its own folder."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import replace, unwritable
from lib_dreambooth.data.pictures.formats import EXTENSIONS

# Begins with a point, which no model's name does.
FOLDER = ".pictures"
TEXTS = frozenset({".txt", ".caption", ".json", ".jsonl"})
ARCHIVES = frozenset({".zip"})
ACCEPTED = EXTENSIONS | TEXTS | ARCHIVES
PART = ".part"
UPLOAD_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')
LONGEST_NAME = 120
LARGEST_FILE = 4 << 30


@dataclass(frozen=True)
class Arrived:
    """Where files of an upload are; `path` is the file itself, to be trained from where it is an archive."""

    id: str
    folder: Path
    path: Path


def arrive(models_root: Path, upload_id: str, name: str, data: bytes, begin: int, is_last: bool) -> Arrived:
    """Takes a part of a file, those before it having come; raises UserError.

    Without an id a new upload begins. `begin` is where the part belongs: a part that comes twice counts once.
    """
    folder = folder_of(models_root, upload_id or new_id())
    path = folder / checked_name(name)
    waiting = path.with_name(path.name + PART)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        size = waiting.stat().st_size if begin and waiting.exists() else 0
        if begin > size or begin + len(data) > LARGEST_FILE:
            raise UserError(
                "a part of the file is missing.", where=name[:LONGEST_NAME], todo="Send it again."
            )
        with waiting.open("r+b" if size else "wb") as file:
            file.seek(begin)
            file.truncate()
            file.write(data)
        if is_last:
            replace(waiting, path)
    except OSError as error:
        raise unwritable(folder, error) from error
    return Arrived(folder.name, folder, path)


def new_id() -> str:
    """A folder's name that sorts by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"


def folder_of(models_root: Path, upload_id: str) -> Path:
    """The folder of an upload; raises UserError for an id that is none."""
    if not UPLOAD_ID.fullmatch(upload_id):
        raise UserError("is not an upload.", where=upload_id[:40], todo="Begin again.", code="no-such-file")
    return models_root / FOLDER / upload_id


def checked_name(name: str) -> str:
    """A file's name without any folder; raises UserError for kinds that are not trained from."""
    plain = NOT_IN_NAMES.sub("_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(". ")
    stem, dot, ending = plain.rpartition(".")
    if not stem or f".{ending.lower()}" not in ACCEPTED:
        raise UserError(
            "is neither a picture nor a text beside one, nor a zip.",
            where=name[:LONGEST_NAME],
            todo=f"Known are {', '.join(sorted(ACCEPTED))}.",
            code="bad-file",
        )
    return f"{stem[:LONGEST_NAME]}{dot}{ending}"
