"""Life without a WebUI: folders as a WebUI has them, and a card that nobody else asks for."""

from __future__ import annotations

import locale
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib_dreambooth.base.host import Alone, HostPaths, HostSettings, HostTagger


class StandaloneHost(Alone):
    """The Host of base for a folder of models."""

    name = "standalone"

    def __init__(self, models: Path) -> None:
        self._models = models.absolute()
        self._card = threading.Lock()

    @property
    def paths(self) -> HostPaths:
        """Laid out like a WebUI's; its embeddings lie beside its models."""
        models = self._models
        return HostPaths(
            models=models,
            adapters=models / "Lora",
            checkpoints=models / "Stable-diffusion",
            embeddings=models.parent / "embeddings",
            vae=models / "VAE",
            diffusers=models / "diffusers",
        )

    @property
    def language(self) -> str:
        """The system's."""
        name = locale.getlocale()[0] or ""
        language, _, region = name.partition("_")
        if len(language) not in (2, 3):
            # "C", or the long names of Windows.
            return ""
        return f"{language}-{region}" if language == "zh" and region else language

    @property
    def settings(self) -> HostSettings:
        """Nobody chose anything here."""
        return HostSettings()

    @property
    def reads(self) -> frozenset[str] | None:
        """Files made here are for other programs."""
        return None

    @property
    def tagger(self) -> HostTagger | None:
        """There is none but those that lie in the folder."""
        return None

    @contextmanager
    def lend_gpu(self) -> Iterator[None]:
        """One run at a time."""
        with self._card:
            yield

    def refresh(self, kind: str) -> None:
        """Folders are listed whenever somebody asks."""

    def busy(self) -> str:
        """Runs alone use the card, and they tell of themselves."""
        return ""
