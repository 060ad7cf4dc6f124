"""Draws the class pictures that a run lacks, from the untouched base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from lib_dreambooth.data.class_pictures import ClassRequest, missing, picture_path
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.infotext import infotext, save_picture
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.schema import Run


def draw_class_pictures(
    model: LoadedModel,
    run: Run,
    wanted: Sequence[ClassRequest],
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Draws those that are not in the folder yet, one file each; stopped, what is done stays. Gives how many.

    The model must be as it was read: whoever trains attaches what is trained afterwards.
    """
    lacking = missing(wanted, folder)
    done = len(wanted) - len(lacking)
    progress(done, len(wanted))
    for (width, height), alike in groupby(sorted(lacking, key=lambda one: one.size), lambda one: one.size):
        group = list(alike)
        settings = PictureSettings(
            sampler=run.class_pictures.sampler,
            steps=run.class_pictures.steps,
            guidance=run.class_pictures.guidance,
            width=width // 8 * 8,
            height=height // 8 * 8,
            clip_skip=run.model.clip_skip,
            batch_size=run.class_pictures.batch_size,
        )
        requests = [Request(one.prompt, one.negative, one.seed) for one in group]
        pictures = Generator(model).draw(requests, settings, should_stop=should_stop)
        for one, picture in zip(group, pictures, strict=True):
            text = infotext(one.prompt, one.negative, one.seed, settings, model=model.source.name)
            save_picture(picture_path(one, folder), picture, text)
            done += 1
            progress(done, len(wanted))
    return len(lacking)
