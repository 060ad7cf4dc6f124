"""What a state says of itself, and whether its files still agree with it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lib_dreambooth.base.hashing import sha256_of
from lib_dreambooth.formats.folder import STATE_FILES

MANIFEST = "manifest.json"
VERSION = 1
LARGEST = 65536


@dataclass(frozen=True)
class Digest:
    """Size and SHA-256 of a file."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """`written` counts the states of a model in the order in which they were made."""

    lineage: int
    step: int
    written: int
    files: Mapping[str, Digest]

    @property
    def order(self) -> tuple[int, int, int]:
        """Later states are greater."""
        return self.lineage, self.step, self.written


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest and flushes it; the folder still has its temporary name."""
    data = {
        "version": VERSION,
        "lineage": manifest.lineage,
        "step": manifest.step,
        "written": manifest.written,
        "files": {name: asdict(digest) for name, digest in manifest.files.items()},
    }
    with (folder / MANIFEST).open("wb") as file:
        file.write((json.dumps(data, indent=2) + "\n").encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def manifest_of(folder: Path) -> Manifest | None:
    """What the folder says of itself; None where it says nothing that makes sense."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            data = json.loads(file.read(LARGEST).decode("utf-8"))
        lineage, step, written = data["lineage"], data["step"], data["written"]
        files = {
            str(name): Digest(int(one["num_bytes"]), str(one["sha256"]))
            for name, one in data["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(type(number) is int for number in (lineage, step, written)):
        return None
    if not set(files) >= set(STATE_FILES):
        return None
    return Manifest(lineage, step, written, files)


def problem_of(folder: Path, manifest: Manifest, *, thorough: bool = True) -> str:
    """What is wrong with a state's files, empty if nothing; not thorough: only whether sizes agree."""
    for name, digest in manifest.files.items():
        # A manifest is no reason to read outside its folder.
        if name not in STATE_FILES:
            return f"it names a file that no state has: {name[:60]}"
        try:
            size = (folder / name).stat().st_size
            if size != digest.num_bytes:
                return f"{name} has {size:,} bytes in place of {digest.num_bytes:,}"
            if thorough and sha256_of(folder / name) != digest.sha256:
                return f"{name} was changed or damaged: its hash is another one"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror or error})"
    return ""
