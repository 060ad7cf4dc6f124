"""Where the edits over a folder's captions are remembered, and which pictures it has."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

from lib_dreambooth.data.scanning.problems import no_pictures
from lib_dreambooth.data.sources.folders import list_folder, real_path

APP = "sd-webui-dreambooth"
# A journal larger than this loses its oldest operations.
MOST_OPERATIONS = 100


def pictures_in(folder: Path) -> list[str]:
    """Every picture under a folder; `UserError` where there is none."""
    found = [file.path for subset in list_folder(folder).subsets for file in subset.pictures]
    if not found:
        raise no_pictures(folder, "auto")
    return found


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
