"""Draws the class pictures that a run lacks, from the untouched base."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

from lib_dreambooth.base.files import replacing
from lib_dreambooth.data.buckets.sizes import Pixels
from lib_dreambooth.data.class_pictures import ClassRequest, missing, picture_path
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.generator import Generator, Request, Stage
from lib_dreambooth.sampling.infotext import infotext, save_picture
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.schema import Run

# The sides that the WebUI draws.
SMALLEST, LARGEST = 64, 4096


def draw_class_pictures(
    model: LoadedModel,
    run: Run,
    wanted: Sequence[ClassRequest],
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
    stage: Stage | None = None,
) -> int:
    """Draws those that are not in the folder yet, one file each; stopped, what is done stays. Gives how many.

    The model must be as it was read: whoever trains attaches what is trained afterwards.
    """
    lacking = missing(wanted, folder)
    done = len(wanted) - len(lacking)
    progress(done, len(wanted))
    for size, alike in groupby(sorted(lacking, key=lambda one: one.size), lambda one: one.size):
        group = list(alike)
        width, height = drawable(size)
        settings = PictureSettings(
            sampler=run.class_pictures.sampler,
            steps=run.class_pictures.steps,
            guidance=run.class_pictures.guidance,
            width=width,
            height=height,
            clip_skip=run.model.clip_skip,
            batch_size=run.class_pictures.batch_size,
        )
        prompts = [one.prompt if run.captions.weights else plain_words(one.prompt) for one in group]
        requests = [
            Request(prompt, one.negative, one.seed) for prompt, one in zip(prompts, group, strict=True)
        ]
        pictures = Generator(model, stage=stage).draw(requests, settings, should_stop=should_stop)
        with closing(pictures):
            for one, prompt, picture in zip(group, prompts, pictures, strict=True):
                path = picture_path(one, folder)
                # Before its picture, so that no picture is ever without its words.
                with replacing(path.with_suffix(".txt")) as temporary:
                    temporary.write_text(one.prompt, encoding="utf-8")
                text = infotext(prompt, one.negative, one.seed, settings, model=model.source.name)
                save_picture(path, picture, text)
                done += 1
                progress(done, len(wanted))
    return len(lacking)


def drawable(size: Pixels) -> Pixels:
    """The size at which a bucket's picture is drawn: its own, or one of its shape that can be drawn."""
    scale = min(max(1.0, SMALLEST / min(size)), LARGEST / max(size))
    width, height = (min(max(round(side * scale / 8) * 8, SMALLEST), LARGEST) for side in size)
    return width, height


def plain_words(caption: str) -> str:
    """A caption as a prompt that says the same: what the WebUI's prompts take for grammar becomes plain text.

    Training reads captions word for word unless they carry weights, so `riho (kimono)` may not weigh here.
    CLIP's tokens are the same for AND and and, and for `<lora` and `< lora`; only `#` has no other spelling.
    """
    text = re.sub(r"([\\()\[\]])", r"\\\1", caption.replace("#", ""))
    text = re.sub(r"\b(AND|BREAK)\b", lambda word: word[0].lower(), text)
    text = re.sub(r"<(?=\w+:)", "< ", text)
    # A number behind a last colon would be the whole prompt's weight.
    return f"{text}\\" if re.search(r":\s*[-+]?\.?\d[.\d]*\s*$", text) else text
