"""Names of files and folders: new every time, and such that every system and every prompt takes them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from lib_dreambooth.base.errors import FileError

# Windows refuses the first, prompts (`<lora:name:1>`) and picture texts the colon, angle brackets and comma.
UNSAFE = re.compile(r'[<>:"/\\|?*,\x00-\x1f\x7f]+')
SPACES = re.compile(r"\s+")
# "none" is what hosts call no LoRA at all.
RESERVED = {"con", "prn", "aux", "nul", "none"}
RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in "123456789¹²³"}
DEFAULT_NAME = "model"

# Windows counts the whole path, and some programs add to it; other systems count the bytes of a name.
LONGEST_PATH = 250
LONGEST_NAME_BYTES = 240
# Room for the longest ending, and for a number behind the name.
LONGEST_ENDING = len(".preview.png")
LONGEST_NUMBER = len("-999")
SHORTEST_NAME = 8
# A folder of a run holds files of at least this length.
ROOM_FOR_FILES = 40

# What hosts list, by stem and without regard to sub-folders.
LISTED = (".safetensors", ".pt", ".ckpt", ".bin")
VAE_MARK = ".vae."


def clean_name(text: str) -> str:
    """The text as a name that every system takes."""
    whole = unicodedata.normalize("NFC", text.encode("utf-8", errors="replace").decode("utf-8"))
    name = SPACES.sub(" ", UNSAFE.sub("_", whole)).strip(" .")
    if not name.strip("_- "):
        return DEFAULT_NAME
    return f"_{name}" if name.partition(".")[0].strip().lower() in RESERVED else name


def counter_text(counter: str, step: int, epoch: int) -> str:
    """What stands behind the name for `saving.counter`: 000500 are steps, e0010 epochs."""
    texts = {"steps": f"{step:06d}", "epochs": f"e{epoch:04d}"}
    return texts.get(counter) or f"{texts['epochs']}-{texts['steps']}"


def stems(folder: Path, name: str, counter: str) -> Iterator[str]:
    """Stems to try, best first: name-000500, then name-000500-2 and so on; the name is cut to what fits."""
    tail = f"-{counter}" if counter else ""
    short = shortened(clean_name(name), folder, len(tail) + LONGEST_ENDING + LONGEST_NUMBER)
    yield short + tail
    number = 2
    while True:
        yield f"{short}{tail}-{number}"
        number += 1


def shortened(name: str, folder: Path, room: int) -> str:
    """The name cut so that its path with `room` characters more fits; raises FileError where none does."""
    left = LONGEST_PATH - _windows_length(str(folder.absolute())) - 1 - room
    if left < SHORTEST_NAME:
        raise FileError(
            "the path of this folder is too long for files in it.",
            where=str(folder),
            todo="Choose a folder nearer to the drive's top.",
            code="path-too-long",
        )
    cut = name
    while _windows_length(cut) > left or len(cut.encode("utf-8")) + room > LONGEST_NAME_BYTES:
        cut = cut[:-1]
    return cut.rstrip(" .") or DEFAULT_NAME


def new_run_folder(root: Path, name: str) -> Path:
    """A folder of its own for a run below `root`; not made yet."""
    short = shortened(clean_name(name), root, ROOM_FOR_FILES)
    number = 1
    while True:
        folder = root / (short if number == 1 else f"{short}-{number}")
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return folder
        number += 1


class Taken:
    """The stems in use below a folder, and in another one beside it.

    Hosts know files by their stem whatever sub-folder they lie in, and some systems ignore case. A VAE whose
    name begins with a checkpoint's would be loaded together with it, so such stems count as taken.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._stems: set[str] = set()
        self._vaes: set[str] = set()
        for place in {root, folder}:
            for name in files_below(place):
                self._add(name)
        # Also side files without their model.
        names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208
        self._here = [name.casefold() for name in names]

    def _add(self, name: str) -> None:
        stem, ending = os.path.splitext(name.casefold())  # noqa: PTH122
        if ending in LISTED:
            self._stems.add(stem)
            if VAE_MARK in name.casefold():
                self._vaes.add(name.casefold())

    def __call__(self, stem: str) -> bool:
        wanted = stem.casefold()
        return (
            wanted in self._stems
            or any(name.startswith(f"{wanted}.") for name in self._here)
            or any(name.startswith(wanted) for name in self._vaes)
        )


def files_below(root: Path) -> Iterator[str]:
    """Names of all files below a folder; links to folders are followed as hosts do, each once."""
    seen: set[str] = set()
    for place, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from names


def _windows_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
