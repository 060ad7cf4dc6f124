"""Zips and dropped files, taken into the model folder so that a run can find them again."""

from __future__ import annotations

import hashlib
import shutil
import uuid
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.files import replace
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.pictures.formats import EXTENSIONS
from lib_dreambooth.settings.length import plural

CAPTION_EXTENSIONS = frozenset({".txt", ".caption", ".json", ".jsonl"})
MOST_FILES = 200_000
MOST_BYTES = 64 * 1024**3
# A picture barely shrinks in a zip; a file that grows a thousandfold is made to fill the disk.
MOST_GROWTH = 1000
SMALL_BYTES = 1024 * 1024
PART_BYTES = 1024 * 1024
# Kept below what Windows allows for one name, with room for endings of our own.
LONGEST_NAME_BYTES = 200


def unpack_zip(
    archive: Path, into: Path, check_cancelled: Callable[[], None] = lambda: None
) -> tuple[Path, list[Finding]]:
    """Unpacks pictures and captions into a folder named by the zip's content; done before, it is reused.

    Nothing is written outside `into`: names are made of their own plain parts.
    """
    try:
        with archive.open("rb") as file:
            target = into / f"{safe_name(archive.stem)}-{hash_file(file)[:12]}"
            if target.is_dir():
                return target, []
            with zipfile.ZipFile(file) as zipped:
                members = wanted_members(zipped, archive)
                return target, _extract(zipped, members, target, archive, check_cancelled)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _bad_zip(archive, str(error) or type(error).__name__) from error
    except OSError as error:
        raise _bad_zip(archive, error.strerror or type(error).__name__) from error


def take_in_files(files: Sequence[Path], into: Path) -> tuple[Path, list[Finding]]:
    """Copies dropped pictures and captions into a new folder under their own names."""
    target = into / f"dropped-{uuid.uuid4().hex[:8]}"
    target.mkdir(parents=True)
    taken: set[str] = set()
    left_out = []
    for source in files:
        if source.suffix.lower() not in EXTENSIONS | CAPTION_EXTENSIONS or not source.is_file():
            left_out.append(str(source))
            continue
        name = unused_name(safe_name(source.name), taken)
        shutil.copyfile(source, target / name)
    return target, [_left_out(left_out)] if left_out else []


def wanted_members(zipped: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    """The pictures and captions in a zip; refused where they are too many, too large or locked."""
    endings = EXTENSIONS | CAPTION_EXTENSIONS
    members = [
        m
        for m in zipped.infolist()
        if not m.is_dir() and PurePosixPath(m.filename.replace("\\", "/")).suffix.lower() in endings
    ]
    if any(member.flag_bits & 1 for member in members):
        raise _bad_zip(archive, "it is locked with a password")
    if len(members) > MOST_FILES:
        raise _bad_zip(archive, f"it holds more than {MOST_FILES} files")
    if sum(member.file_size for member in members) > MOST_BYTES:
        raise _bad_zip(archive, f"it unpacks to more than {MOST_BYTES // 1024**3} GB")
    for member in members:
        if member.file_size > max(SMALL_BYTES, member.compress_size * MOST_GROWTH):
            raise _bad_zip(archive, f"`{member.filename[:80]}` would grow more than a thousandfold")
    if not any(PurePosixPath(m.filename).suffix.lower() in EXTENSIONS for m in members):
        raise _bad_zip(archive, "there are no pictures in it")
    return members


def _extract(
    zipped: zipfile.ZipFile,
    members: list[zipfile.ZipInfo],
    target: Path,
    archive: Path,
    check_cancelled: Callable[[], None],
) -> list[Finding]:
    """Into a temporary folder first, so that the target is whole or not there."""
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    taken: set[str] = set()
    damaged = []
    try:
        for member in members:
            check_cancelled()
            parts = safe_parts(member_name(member))
            folder = temporary.joinpath(*parts[:-1])
            folder.mkdir(parents=True, exist_ok=True)
            key = unused_name("/".join(parts), taken)
            try:
                with zipped.open(member) as source, (temporary / key).open("wb") as sink:
                    _copy_bounded(source, sink, member.file_size)  # type: ignore[arg-type]
            except (zipfile.BadZipFile, OSError, EOFError, ValueError):
                damaged.append(member.filename)
                (temporary / key).unlink(missing_ok=True)
        replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [_damaged(archive, damaged)] if damaged else []


def _copy_bounded(source: BinaryIO, sink: BinaryIO, limit: int) -> None:
    """Copies at most what the zip's directory promised."""
    left = limit
    while part := source.read(min(PART_BYTES, left + 1)):
        left -= len(part)
        if left < 0:
            raise ValueError("longer than it says")
        sink.write(part)


def member_name(member: zipfile.ZipInfo) -> str:
    """A member's name; Japanese Windows writes CP932 without saying so, and zipfile reads that as CP437."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("cp932")
    except UnicodeError:
        return member.filename


def safe_parts(name: str) -> list[str]:
    """The parts of a path inside an archive as plain names: nothing in them leads up or out."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return [safe_name(part) for part in parts] or ["file"]


def safe_name(name: str) -> str:
    """A file name that every system takes, as near to the given one as possible."""
    cleaned = "".join(
        "_" if c in '<>:"/\\|?*' or ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 else c for c in name
    )
    cleaned = cleaned.rstrip(". ") or "_"
    stem, ending = stem_and_ending(cleaned)
    if stem.upper() in {"CON", "PRN", "AUX", "NUL"} or (
        stem[:3].upper() in {"COM", "LPT"} and stem[3:].isdigit()
    ):
        stem = f"_{stem}"
    room = LONGEST_NAME_BYTES - len(ending.encode("utf-8"))
    while len(stem.encode("utf-8")) > room:
        stem = stem[:-1]
    return stem + ending


def unused_name(name: str, taken: set[str]) -> str:
    """`name`, or with a number where that is taken, case aside; adds it to `taken`."""
    stem, ending = stem_and_ending(name)
    candidate, number = name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{stem} ({number}){ending}"
    taken.add(candidate.casefold())
    return candidate


def stem_and_ending(name: str) -> tuple[str, str]:
    """A file name cut before its ending; a path in front stays with the stem."""
    ending = PurePosixPath(name).suffix
    return name.removesuffix(ending), ending


def hash_file(file: BinaryIO) -> str:
    """The hash of a whole file as hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    while part := file.read(PART_BYTES):
        digest.update(part)
    file.seek(0)
    return digest.hexdigest()


def _bad_zip(archive: Path, why: str) -> FileError:
    return FileError(
        f"this zip cannot be used: {why}.",
        where=str(archive),
        todo="Unpack it yourself and give the folder.",
        code="bad-zip",
    )


def _left_out(names: list[str]) -> Finding:
    return Finding(
        "dropped-left-out",
        "warning",
        tuple(names),
        f"{len(names)} of the dropped files are neither pictures nor captions.",
        "They were left out.",
    )


def _damaged(archive: Path, names: list[str]) -> Finding:
    return Finding(
        "zip-member-damaged",
        "error",
        (str(archive),),
        f"{len(names)} {plural(len(names), 'file in the zip is', 'files in the zip are')} damaged, "
        f"the first is `{names[0][:80]}`.",
        "They were left out.",
        "Make the zip again.",
    )
