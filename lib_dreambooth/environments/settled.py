"""Remembers that nothing was left to add, so that the next launch has to look at a few folders' times alone.

What is there is known by when something was last put into or taken out of the folders of packages. Imports
next to nothing: this is all that most launches do.
"""

from __future__ import annotations

import os
import sys

FILE_NAME = ".install-settled"
TABLE = os.path.join(os.path.dirname(__file__), "additions.py")  # noqa: PTH118, PTH120 - pathlib costs more than all of this
PACKAGES = ("site-packages", "dist-packages")


def marks() -> str:
    """Everything that the answer hangs on; empty where that cannot be told."""
    folders = [one for one in sys.path if os.path.basename(one) in PACKAGES and os.path.isdir(one)]  # noqa: PTH112, PTH119
    if not folders:
        return ""
    times = [f"{one} {os.stat(one).st_mtime_ns}" for one in (*folders, TABLE)]  # noqa: PTH116
    return "\n".join([sys.version, sys.prefix, *times, ""])


def is_settled(file: str) -> bool:
    """Whether all is as it was when nothing was left to add."""
    try:
        with open(file, encoding="utf-8", newline="") as opened:  # noqa: PTH123
            kept = opened.read()
        return kept != "" and kept == marks()
    except (OSError, ValueError):
        return False
