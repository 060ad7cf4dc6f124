"""The picture files under a folder, with the repeats and names that its sub-folders carry."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.pictures.formats import EXTENSIONS

SubfolderMode = Literal["auto", "plain", "ignore", "repeats"]

NUMBERED = re.compile(r"(\d+)_(.*)", re.DOTALL)
# What kohya's scripts take too: a number alone.
NUMBER_ALONE = re.compile(r"(\d+)()")
# The settings allow no more; a larger number in front of an underscore is a date or a counter.
MOST_REPEATS = 10_000
# Folders that systems and editors leave behind.
NEVER_READ = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
# Pictures and films of kinds that are not read; their owner may believe that they are trained on.
UNREAD = frozenset(
    {
        *(".heic", ".heif", ".jxl", ".jp2", ".j2k", ".psd", ".xcf", ".kra", ".clip", ".svg", ".tga", ".exr"),
        *(".hdr", ".dds", ".ico", ".ppm", ".pcx", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf"),
        *(".rw2", ".mp4", ".mov", ".mkv", ".webm", ".avi"),
    }
)
MASK_ENDINGS = ("-mask", "-masklabel", "_mask")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as the folder lists it; size and time tell whether it changed."""

    path: str
    name: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Subset:
    """One folder's pictures, which share repeats and a name."""

    folder: str
    repeats: int
    # What stands behind the number in the folder's name; "" where there is none.
    name: str
    pictures: list[FoundFile] = field(default_factory=list)
    # Files named like masks, by name.
    masks: dict[str, FoundFile] = field(default_factory=dict)
    # Changes whenever another file than a picture is added, removed or written to.
    others: str = ""


@dataclass(slots=True)
class Listing:
    """What lies under a folder, and what could not be read."""

    subsets: list[Subset] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def list_folder(
    folder: Path, mode: SubfolderMode = "auto", leave_out: Collection[Path] = (), where: str = ""
) -> Listing:
    """All picture files under a folder, sorted by path; `FileError` where the folder itself is unreadable."""
    listing = Listing()
    if folder.is_file():
        raise FileError(
            "is a file, not a folder.",
            where=where or str(folder),
            todo="Give the folder that the pictures are in.",
            code="not-a-folder",
        )
    seen = {real_path(path) for path in leave_out}
    own = numbered(folder.name, mode)
    _walk(folder, own or (1, ""), mode, seen, listing, is_top=True)
    listing.subsets = [subset for subset in listing.subsets if subset.pictures or subset.masks]
    if mode == "repeats":
        _keep_numbered(folder, own, listing)
    return listing


def numbered(name: str, mode: SubfolderMode = "auto") -> tuple[int, str] | None:
    """Repeats and name from `40_name`; None where the name carries none in this mode."""
    if mode in ("plain", "ignore"):
        return None
    match = NUMBERED.fullmatch(name) or (NUMBER_ALONE.fullmatch(name) if mode == "repeats" else None)
    # int() takes digits of other scripts as well, as \d does.
    if match is None or not 1 <= int(match[1][:9]) <= MOST_REPEATS or len(match[1]) > 9:
        return None
    return int(match[1]), match[2].strip()


def _walk(
    folder: Path,
    carried: tuple[int, str],
    mode: SubfolderMode,
    seen: set[str],
    listing: Listing,
    is_top: bool = False,
) -> None:
    real = real_path(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            files, folders = _sorted_entries(entries, listing)
    except OSError as error:
        if is_top:
            raise no_folder(folder, error) from error
        listing.findings.append(unreadable_folder(folder, error))
        return
    images = {file.name: file for file in files if stem_and_ending(file.name)[1].lower() in EXTENSIONS}
    masks = {name: file for name, file in images.items() if is_mask_of(stem_and_ending(name)[0], images)}
    pictures = [file for name, file in images.items() if name not in masks]
    others = [file for file in files if file.name not in images]
    unread = [file for file in others if stem_and_ending(file.name)[1].lower() in UNREAD]
    if unread:
        listing.findings.append(kind_unread(unread))
    listing.subsets.append(Subset(str(folder), *carried, pictures, masks, state_of(others)))
    if mode == "ignore" or (mode == "repeats" and not is_top):
        return
    for child in folders:
        _walk(child, numbered(child.name, mode) or carried, mode, seen, listing)


def _sorted_entries(
    entries: Iterator[os.DirEntry[str]], listing: Listing
) -> tuple[list[FoundFile], list[Path]]:
    files, folders = [], []
    for entry in sorted(entries, key=lambda entry: entry.name):
        try:
            if entry.is_dir():
                if not entry.name.startswith(".") and entry.name.lower() not in NEVER_READ:
                    folders.append(Path(entry.path))
            elif not entry.name.startswith("."):
                status = entry.stat()
                if not stat.S_ISREG(status.st_mode):
                    # A pipe or a device, from which reading may never end.
                    raise OSError(errno.EINVAL, "not a file")
                files.append(FoundFile(entry.path, entry.name, status.st_size, status.st_mtime_ns))
        except OSError as error:
            # A link into nothing, a loop of links, or a file that was removed just now.
            if stem_and_ending(entry.name)[1].lower() in EXTENSIONS:
                listing.findings.append(unreadable_file(entry.path, error))
    return files, folders


def state_of(files: Iterable[FoundFile]) -> str:
    """A digest of names, sizes and times."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        line = f"{file.name}\0{file.size}\0{file.mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def stem_and_ending(name: str) -> tuple[str, str]:
    """A file's name cut before its ending, as `Path` does it but for ten thousand names in no time."""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if stem and ending else (name, "")


def is_mask_of(stem: str, files: Collection[str]) -> bool:
    """True where `name-mask` has a picture `name` beside it."""
    if not stem.endswith(MASK_ENDINGS):
        return False
    for ending in MASK_ENDINGS:
        if stem.endswith(ending) and len(stem) > len(ending):
            base = stem[: -len(ending)]
            if any(
                base + extension in files or base + extension.upper() in files for extension in EXTENSIONS
            ):
                return True
    return False


def real_path(folder: Path) -> str:
    """One name for a folder, however links lead to it."""
    return os.path.normcase(os.path.realpath(folder))


def _keep_numbered(folder: Path, own: tuple[int, str] | None, listing: Listing) -> None:
    """As kohya's scripts do: only sub-folders with a number, or the folder itself if it has one."""
    children = [
        s for s in listing.subsets if Path(s.folder) != folder and numbered(Path(s.folder).name, "repeats")
    ]
    kept = children or [s for s in listing.subsets if own and Path(s.folder) == folder]
    left_out = [s for s in listing.subsets if s not in kept]
    listing.subsets = kept
    if left_out:
        count = sum(len(s.pictures) for s in left_out)
        listing.findings.append(
            Finding(
                "folders-without-repeats",
                "warning",
                tuple(s.folder for s in left_out),
                f"{count} pictures lie in folders whose name does not begin with a number and an underscore.",
                "They are not trained on: that is how kohya's scripts read a folder.",
                'Rename such a folder to 1_name, or set Sub-folders to "Auto".',
            )
        )


def no_folder(folder: Path, error: OSError) -> FileError:
    """The sentence for a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        return FileError(
            "there is no such folder.",
            where=str(folder),
            todo="Check the path; a drive letter may have changed or a folder been renamed.",
            code="folder-missing",
        )
    return FileError(
        f"this folder cannot be read ({error.strerror or type(error).__name__}).",
        where=str(folder),
        todo="Give yourself the right to read it, or copy the pictures elsewhere.",
        code="folder-unreadable",
    )


def unreadable_folder(folder: Path, error: OSError) -> Finding:
    """A sub-folder that cannot be listed."""
    return Finding(
        "folder-unreadable",
        "error",
        (str(folder),),
        f"The folder cannot be read ({error.strerror or type(error).__name__}).",
        "Its pictures are not trained on.",
        "Give yourself the right to read it, or move it away.",
    )


def kind_unread(files: Sequence[FoundFile]) -> Finding:
    """Pictures of a folder whose kind is not read."""
    kinds = sorted({stem_and_ending(file.name)[1].lower().lstrip(".") for file in files})
    count = f"{len(files)} files are" if len(files) > 1 else "1 file is"
    return Finding(
        "picture-kind-unread",
        "warning",
        tuple(file.path for file in files),
        f"{count} of a kind that is not read: {', '.join(kinds)}.",
        "They are not trained on." if len(files) > 1 else "It is not trained on.",
        "Save them as PNG, JPEG or WebP beside the others, or take them out of the folder.",
    )


def unreadable_file(path: str, error: OSError) -> Finding:
    """A picture that the folder lists but the system does not give out."""
    return Finding(
        "picture-unreadable",
        "error",
        (path,),
        f"The file cannot be opened ({error.strerror or type(error).__name__}).",
        "It is not trained on.",
        "Check that it is still there and that you may read it.",
    )
