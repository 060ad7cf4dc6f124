"""A host of plain folders that notes what it is asked for, and entries that need no training."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from lib_dreambooth.base.host import Alone, Guest, HostPaths, HostSettings, HostTagger


class PlainHost(Alone):
    """Folders below one; `lent` counts the times the card was lent, `refreshed` the kinds listed anew."""

    name = "plain folders"
    language = ""

    def __init__(self, root: Path, settings: HostSettings | None = None) -> None:
        self.paths = HostPaths(
            models=root / "models",
            adapters=root / "models" / "Lora",
            checkpoints=root / "models" / "Stable-diffusion",
            embeddings=root / "embeddings",
            vae=root / "models" / "VAE",
            diffusers=root / "models" / "diffusers",
        )
        self.settings = settings or HostSettings(device="cpu")
        self.reads: frozenset[str] | None = None
        self.tagger: HostTagger | None = None
        self.lent = 0
        self.is_lent = False
        self.yields = 0
        self.refreshed: list[str] = []
        self.threads: set[str] = set()

    @contextlib.contextmanager
    def lend_gpu(self) -> Iterator[None]:
        assert not self.is_lent
        self.lent += 1
        self.is_lent = True
        try:
            yield
        finally:
            self.is_lent = False

    def yield_point(self, guest: Guest) -> None:
        assert self.is_lent
        self.yields += 1
        self.threads.add(threading.current_thread().name)

    def refresh(self, kind: str) -> None:
        self.refreshed.append(kind)

    def busy(self) -> str:
        return ""
