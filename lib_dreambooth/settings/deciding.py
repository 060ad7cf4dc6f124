"""What is left open in a run's settings and has to be decided before anything is read or drawn."""

from __future__ import annotations

from typing import Any

from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.meaning import made
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import DECIDED, Sourced
from lib_dreambooth.settings.values import Size

RESOLUTION = "pictures.resolution"


def decided(sourced: Sourced, *, native_side: int, seed: int) -> Sourced:
    """The run with a resolution (the base model's where left to it) and a seed (`seed` where left to chance).

    Words go into files of their own where no host had a say before (`leaves_words_open`).
    A run's own copy of its settings is written from the result, so that it can be repeated.
    """
    run = sourced.run
    native = Size(native_side, native_side)
    changes: dict[str, Any] = {}
    if run.pictures.resolution.is_auto:
        changes[RESOLUTION] = str(native)
    if leaves_words_open(run):
        changes["saving.words_as"] = "pair"
    if run.draws.seed < 0:
        changes["draws.seed"] = seed
    for number, concept in enumerate(run.concepts):
        own = concept.override.get(RESOLUTION)
        if isinstance(own, Size) and own.is_auto:
            changes[f"concepts.{number}.override"] = {**plain(concept.override), RESOLUTION: str(native)}
    return update(sourced, changes, DECIDED) if changes else sourced


def leaves_words_open(run: Run) -> bool:
    """Whether it depends on the host's reading if words go into the network's file or beside it."""
    return run.saving.words_as == "auto" and made(run) == ("network", "words")
