"""Where a host, or no host, keeps models and results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base.files import from_home
from lib_dreambooth.training.export.places import Folders

# Names the folder of models where an option does not.
VARIABLE = "DREAMBOOTH_MODELS"
CHECKOUT = Path(__file__).absolute().parents[2]
# What a WebUI calls the folder that programs like this one lie in, and that of its models.
EXTENSIONS, MODELS = "extensions", "models"


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


def library(
    models: Path | str | None = None, environ: Mapping[str, str] = os.environ, checkout: Path = CHECKOUT
) -> Library:
    """The library that is asked for: by name, by DREAMBOOTH_MODELS, else that of the WebUI around us.

    Without a WebUI it lies in this program's own folder.
    """
    named = models or environ.get(VARIABLE)
    if named:
        return Library(from_home(named).absolute())
    webui = checkout.parent.parent
    if checkout.parent.name == EXTENSIONS and (webui / MODELS).is_dir():
        return Library(webui / MODELS)
    return Library(checkout / MODELS)


def library_of(folder: Path, models: Path | str | None = None) -> Library:
    """The library that a model folder belongs to: the one asked for, else the one that it lies in."""
    parent = folder.absolute().parent
    if models is None and parent.name == Library(parent).dreambooth.name:
        return Library(parent.parent)
    return library(models)
