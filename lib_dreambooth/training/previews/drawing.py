"""Draws previews into files without changing anything that is trained."""

from __future__ import annotations

import contextlib
from collections import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.generator import Generator, Stage
from lib_dreambooth.sampling.infotext import Picture, infotext, save_picture
from lib_dreambooth.training.previews.chosen import Preview, grouped


@dataclass(frozen=True)
class Drawn:
    """One preview's file."""

    path: Path
    prompt: str
    seed: int
    concept: str


@dataclass(frozen=True, eq=False)
class PreviewArtist:
    """Draws a run's previews; `model_hash` goes into the pictures' text."""

    model: LoadedModel
    previews: Sequence[Preview]
    folder: Path
    model_hash: str = ""
    stage: Stage | None = None

    def draw(self, label: str, should_stop: Callable[[], bool]) -> abc.Generator[Drawn, None, None]:
        """Yields each picture once its file is whole; `label` says when, as in "step-00000100"."""
        number = 0
        with frozen_modes(self.model):
            for group in grouped(self.previews):
                requests, settings = [preview.request for preview in group], group[0].settings
                drawn = Generator(self.model, stage=self.stage).draw(
                    requests, settings, should_stop=should_stop
                )
                with contextlib.closing(drawn) as pictures:
                    for preview, picture in zip(group, pictures, strict=True):
                        number += 1
                        yield self._written(f"{label}-{number:02d}", preview, picture)

    def _written(self, name: str, preview: Preview, picture: Picture) -> Drawn:
        """One picture's file."""
        request = preview.request
        seed = request.seed or 0
        path = self.folder / f"{name}-{seed}.png"
        text = infotext(
            request.prompt,
            request.negative,
            seed,
            preview.settings,
            model=self.model.source.name,
            model_hash=self.model_hash,
        )
        save_picture(path, picture, text)
        return Drawn(path, request.prompt, seed, preview.concept)


@contextlib.contextmanager
def frozen_modes(model: LoadedModel) -> Iterator[None]:
    """Every module in evaluation mode, and afterwards in the mode that it had."""
    training = [module for root in model.modules.values() for module in root.modules() if module.training]
    for root in model.modules.values():
        root.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
