"""Where a host, or no host, keeps models and results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.training.export.places import Folders


@dataclass(frozen=True)
class Library:
    """A folder of models as the WebUI has it; `models` is its root."""

    models: Path

    @property
    def dreambooth(self) -> Path:
        """The folder of model folders."""
        return self.models / "dreambooth"

    def results(self) -> Folders:
        """Where results of each kind go."""
        return Folders(
            adapter=self.models / "Lora",
            checkpoint=self.models / "Stable-diffusion",
            diffusers=self.models / "diffusers",
            embedding=self.models.parent / "embeddings",
        )
