"""Previews while a run is under way: they change nothing, and one that fails costs nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from lib_dreambooth.adapters.parts import previewing
from lib_dreambooth.base.errors import Cancelled, UserError
from lib_dreambooth.data.health.nearest import NearestPictures
from lib_dreambooth.runs.events import Event, Phase, Sampled, Warned
from lib_dreambooth.sampling.infotext import save_picture
from lib_dreambooth.training.previews.drawing import PreviewArtist
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.mishaps import release, sentence_for
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.saving import EMA_LABEL, in_use

log = logging.getLogger(__name__)
DRAWING = "drawing samples"


@dataclass(eq=False)
class Previewer:
    """Draws the previews of a run; `show` gives a path as events tell it."""

    ready: Ready
    artist: PreviewArtist
    control: Control
    emit: Callable[[Event], object]
    show: Callable[[Path], str]

    def draw(self, step: int, most: int | None = None) -> list[Path]:
        """Draws and tells the previews of a step, all or at `most` so many.

        A failure is told, and a stop ends them where they are.
        """
        found: list[Path] = []
        try:
            for label in self._labels():
                found += self._draw(step, label, most)
        except Cancelled:
            pass
        except Exception as error:  # the run is worth more than a picture of it
            told = sentence_for(error, DRAWING)
            if told is None:
                log.exception("the samples of step %d could not be drawn", step)
                told = failed(step, error)
            release(error)
            self.emit(Warned(text=told.sentence(), where="previews", code=told.code))
        return found

    def _labels(self) -> tuple[str, ...]:
        if self.ready.averages is None:
            return ("",)
        return {"average": (EMA_LABEL,), "live": ("",), "both": ("", EMA_LABEL)}[self.ready.run.ema.preview]

    def _draw(self, step: int, label: str, most: int | None) -> list[Path]:
        ready, previews = self.ready, self.artist.previews[:most]
        total = len(previews)
        name = f"step-{step:08d}" + (f"-{label}" if label and ready.run.ema.preview == "both" else "")
        drawn = []
        self.emit(Phase(name=DRAWING, total=total))
        with (
            ready.places.drawing() as stage,
            in_use(ready, is_average=label == EMA_LABEL),
            previewing(ready.trained, ready.run.previews.strength),
            ready.arithmetic.autocast(),
            torch.no_grad(),
        ):
            artist = replace(self.artist, previews=previews, stage=stage)
            with closing(artist.draw(name, self.control.asks_to_stop)) as ones:
                for one in ones:
                    drawn.append(one)
                    self.emit(Phase(name=DRAWING, done=len(drawn), total=total))
        epoch = step / ready.length.epoch.steps
        self.emit(
            Sampled(
                files=tuple(self.show(one.path) for one in drawn),
                step=step,
                prompts=tuple(one.prompt for one in drawn),
                epoch=epoch,
                concepts=tuple(one.concept for one in drawn),
                nearest=self._nearest([one.path for one in drawn]),
            )
        )
        return [one.path for one in drawn]

    def _nearest(self, drawn: list[Path]) -> tuple[str, ...]:
        """Puts the training picture most like each preview beside it, where that is wanted."""
        if not self.ready.run.previews.nearest:
            return ()
        return tuple(self._beside(path) for path in drawn)

    def _beside(self, path: Path) -> str:
        """Puts what a preview is most like beside it; empty where there is nothing, or it cannot be."""
        beside = path.with_name(f"{path.stem}-nearest{path.suffix}")
        try:
            picture = self._pictures.of(path)
            if picture is None:
                return ""
            save_picture(beside, picture, "")
        except (UserError, OSError) as error:
            log.warning("what %s is most like could not be shown: %s", path.name, error)
            return ""
        return self.show(beside)

    @cached_property
    def _pictures(self) -> NearestPictures:
        return NearestPictures(self.ready.dataset)


def failed(step: int, error: Exception) -> UserError:
    """The sentence for samples that a mistake of ours, or of a library, has spoilt."""
    return UserError(
        f"the samples of step {step} could not be drawn ({type(error).__name__}: {str(error)[:200]}).",
        todo="Training goes on; the log has the details.",
        code="preview-failed",
    )
