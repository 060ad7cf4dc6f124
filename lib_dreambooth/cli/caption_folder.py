"""A folder of captions as the commands `captions` and `tag` take it, and where its edits are remembered."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from pathlib import Path

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.data.scanning.problems import no_pictures
from lib_dreambooth.data.sources.folders import list_folder, real_path
from lib_dreambooth.data.sources.pasted import clean_path
from lib_dreambooth.data.tags.journal import Journal

APP = "sd-webui-dreambooth"
# A journal larger than this loses its oldest operations.
MOST_OPERATIONS = 100


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a folder and its journal."""
    parser.add_argument("folder", metavar="DIR", help="a folder with pictures, sub-folders included")
    parser.add_argument(
        "--journal",
        metavar="DIR",
        type=Path,
        help="where edits are remembered for undo (default: a folder of this program, outside of DIR)",
    )


def pictures_in(folder: Path) -> list[str]:
    """Every picture under a folder; `UserError` where there is none."""
    found = [file.path for subset in list_folder(folder).subsets for file in subset.pictures]
    if not found:
        raise no_pictures(folder, "auto")
    return found


def folder_of(args: argparse.Namespace) -> Path:
    """The folder that the arguments name; undo may be asked for from elsewhere, so it is absolute."""
    return clean_path(args.folder, "DIR").absolute()


def journal_of(args: argparse.Namespace) -> Journal:
    """The journal of the folder that the arguments name."""
    return Journal(args.journal or default_journal(folder_of(args)))


def undo_command(args: argparse.Namespace) -> str:
    """What to type to take back what was just done."""
    journal = f' --journal "{visible_line(str(args.journal))}"' if args.journal else ""
    return f'`captions undo "{visible_line(str(args.folder))}"{journal}`'


def default_journal(folder: Path) -> Path:
    """One journal for each folder, with nothing written among the user's pictures."""
    place = real_path(folder)
    digest = hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    readable = re.sub(r"[^\w-]+", "_", Path(place).name.encode("utf-8", "ignore").decode())[:40]
    return data_folder() / "caption-edits" / f"{readable}-{digest}"


def data_folder() -> Path:
    """Where programs of this user keep what they want to find again."""
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / APP
