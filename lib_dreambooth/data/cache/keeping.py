"""Whether a cache is kept in memory, on disk or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lib_dreambooth.data.cache.stores import DiskStore, MemoryStore

CacheMode = Literal["auto", "memory", "disk", "off"]
# "auto" leaves the rest of the free memory to the model, the system and the WebUI.
SHARE_OF_MEMORY = 0.25


def where_to_keep(mode: CacheMode, needed_bytes: int, free_bytes: int) -> Literal["memory", "disk", "off"]:
    """What "auto" comes to: memory while the cache takes a small part of what is free, else the disk."""
    if mode != "auto":
        return mode
    return "memory" if needed_bytes <= free_bytes * SHARE_OF_MEMORY else "disk"


def open_store(
    place: Literal["memory", "disk"], folder: Path, trust: bool = False
) -> MemoryStore | DiskStore:
    """An empty store in memory, or what the folder holds; with `trust` entries are not checked."""
    return MemoryStore() if place == "memory" else DiskStore(folder, checks=not trust)
