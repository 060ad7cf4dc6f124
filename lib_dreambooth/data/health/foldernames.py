"""Folder names that were meant to carry repeats and do not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.sources.folders import numbered

NUMBER = r"(?P<number>\d{1,3})"
NAME = r"(?P<name>[^\W\d_].*)"
# What people write for `36_name`. A number that runs into a word (`2girls`) or a date is none of these.
IN_FRONT = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{NUMBER}\s*[-－ 　.,=+~＿]\s*_?\s*{NAME}",
        rf"{NUMBER}\s+_\s*{NAME}",
        rf"\s+{NUMBER}_\s*{NAME}",
        rf"[xX×]\s?{NUMBER}[_ -]{NAME}",
        rf"{NUMBER}\s?[xX×][_ -]{NAME}",
        rf"_{NUMBER}_{NAME}",
        rf"[(\[]{NUMBER}[)\]]\s*[_ -]?{NAME}",
    )
)
BEHIND = re.compile(rf"(?P<name>[^\W\d].*?)[_-]{NUMBER}")
# A number behind the name is mostly a series; only a typical count of repeats is worth a word.
TYPICAL_REPEATS = frozenset([5, 8, 10, 12, 15, 16, 20, 25, 30, 32, 36, 40, 50, 60, 64, 80, 100])


def meant_as_repeats(name: str) -> tuple[int, str] | None:
    """The repeats and the name that a folder's name seems to mean though it does not carry them."""
    if numbered(name) is not None:
        return None
    if re.fullmatch(r"0+_.+", name):
        return 1, name.partition("_")[2]
    for pattern in IN_FRONT:
        match = pattern.fullmatch(name)
        if match is not None and int(match["number"]):
            return int(match["number"]), match["name"].strip()
    match = BEHIND.fullmatch(name)
    if match is not None and int(match["number"]) in TYPICAL_REPEATS:
        return int(match["number"]), match["name"].strip()
    return None


def folder_findings(folders: Iterable[str]) -> list[Finding]:
    """A finding for each folder whose name looks like repeats but is not."""
    folders = sorted(set(folders))
    series = Counter(match["name"] for f in folders if (match := BEHIND.fullmatch(PurePath(f).name)))
    findings = []
    for folder in folders:
        name = PurePath(folder).name
        meant = meant_as_repeats(name)
        # part_1, part_2, ... part_10 are numbered and not repeated.
        if meant is None or series[meant[1]] > 1:
            continue
        repeats, label = meant
        findings.append(
            Finding(
                "not-repeats",
                "warning",
                (folder,),
                f"`{name}` looks as if it asked for {repeats} repeats but does not: only a number directly "
                "followed by an underscore does.",
                "Its pictures are seen once an epoch.",
                f"Rename it to `{repeats}_{label}` if repeats are meant.",
            )
        )
    return findings
