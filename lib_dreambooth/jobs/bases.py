"""The checkpoints that a host has, as bases to train from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import HostPaths
from lib_dreambooth.jobs.made_files import id_of

ENDINGS = (".safetensors", ".ckpt")
VAE_MARK = ".vae."
INDEX = "model_index.json"
MOST = 5000


@dataclass(frozen=True)
class Base:
    """A checkpoint; `name` is its path below the folder it was found in."""

    id: str
    name: str
    path: Path

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        return {"id": self.id, "name": self.name, "path": str(self.path), "num_bytes": bytes_at(self.path)}


def bases_of(paths: HostPaths) -> list[Base]:
    """Every checkpoint of the host and every diffusers folder, by name; links are followed as hosts do."""
    found: dict[Path, Base] = {}
    for root in (paths.checkpoints, *paths.more_checkpoints):
        for path in checkpoints_in(root):
            found.setdefault(path, Base(id_of(path), path.relative_to(root).as_posix(), path))
    for path in folders_in(paths.diffusers):
        found.setdefault(path, Base(id_of(path), f"{path.name}/", path))
    return sorted(found.values(), key=lambda base: base.name.casefold())


def checkpoints_in(root: Path) -> Iterator[Path]:
    """Checkpoint files below a folder, as many as anybody has."""
    count = 0
    for folder, inner, names in os.walk(root, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if Path(folder) != root and Path(folder).resolve() in Path(folder).absolute().parents:
            # A link to a folder around it.
            inner.clear()
            continue
        for name in sorted(names):
            lower = name.lower()
            if lower.endswith(ENDINGS) and VAE_MARK not in lower and not name.startswith("."):
                yield Path(folder) / name
                count += 1
                if count >= MOST:
                    return


def folders_in(root: Path) -> Iterator[Path]:
    """Whole models in the diffusers form in a folder."""
    if root.is_dir():
        yield from sorted(path.parent for path in root.glob(f"*/{INDEX}"))


def bytes_at(base: Path) -> int:
    """A file's bytes, or those of all files of a folder."""
    if base.is_file():
        return base.stat().st_size
    return sum(one.stat().st_size for one in base.rglob("*") if one.is_file())


def base_of(paths: HostPaths, base_id: str) -> Base:
    """The base of an id; raises UserError."""
    found = next((base for base in bases_of(paths) if base.id == base_id), None)
    if found is None:
        raise UserError(
            "there is no such checkpoint (any more).",
            where="base",
            todo="List the checkpoints again.",
            code="base-missing",
        )
    return found
