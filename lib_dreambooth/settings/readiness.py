"""What is still missing before a run can start."""

from __future__ import annotations

from collections.abc import Iterator

from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.settings.meaning import trained_parts
from lib_dreambooth.settings.schema import Run


def missing(run: Run, family: str = "") -> list[UserError]:
    """Every setting that has to be given before training can start."""
    return [
        UserError(what, where=path, todo=todo, code="missing-setting")
        for path, what, todo in gaps(run, family)
    ]


def require_complete(run: Run, family: str = "") -> None:
    """Raises SettingsError with everything that is missing."""
    problems = missing(run, family)
    if problems:
        raise SettingsError(problems)


def gaps(run: Run, family: str) -> Iterator[tuple[str, str, str]]:
    """Path, sentence and way out for each gap."""
    if not run.model.base:
        yield "model.base", "no source checkpoint is chosen.", "Choose the model to start from."
    if not any(concept.role == "train" for concept in run.concepts):
        yield "concepts", "there are no pictures to train on.", "Name a folder with pictures."
    for number, concept in enumerate(run.concepts):
        if not concept.folder and not concept.metadata_file:
            yield f"concepts.{number}.folder", "the concept has no pictures.", "Name its folder."
    if not trained_parts(run, family):
        yield "parts.unet.train", "no part is trained.", "Tick the UNet, a text encoder or words."
    if run.parts.words.train and not run.words:
        yield "words", "words are to be trained, but none is named.", "Name a new word."
    yield from class_gaps(run)


def class_gaps(run: Run) -> Iterator[tuple[str, str, str]]:
    """Class pictures that are asked for and cannot be found or drawn."""
    wanted = run.class_pictures
    if wanted.relation == "off" or wanted.draw or any(concept.role == "class" for concept in run.concepts):
        return
    for number, concept in enumerate(run.concepts):
        if concept.role == "train" and not concept.class_folder:
            yield (
                f"concepts.{number}.class_folder",
                "class pictures are on, but this concept has none.",
                "Name a folder with class pictures, let them be drawn, or turn class pictures off.",
            )
