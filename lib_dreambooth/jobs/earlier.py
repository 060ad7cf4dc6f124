"""The files that a run wrote before it was interrupted, from what it told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lib_dreambooth.runs.events import Saved
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.reading import events_of_run
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.result import ADAPTER, CHECKPOINT, DIFFUSERS, EMBEDDING, Result
from lib_dreambooth.training.trainer.saving import DIFFUSERS as DIFFUSERS_KIND
from lib_dreambooth.training.trainer.saving import EMA_LABEL, STATE
from lib_dreambooth.training.trainer.saving import RESULT as RESULT_KIND

# Why a save was due that is the last one of a start.
FINAL = ("end", "cancelled")


def earlier_results(folder: ModelFolder, run_id: str, run: Run) -> list[Result]:
    """What is still there of a run's files for use, in their order."""
    saved = [event for event in events_of_run(folder.events_path, run_id) if isinstance(event, Saved)]
    return [result for event in saved for result in _results(event, run) if result.path.exists()]


def _results(event: Saved, run: Run) -> Iterator[Result]:
    if event.what == STATE:
        return
    for told in event.paths:
        path = Path(told)
        label = EMA_LABEL if run.ema.save == "both" and f"-{EMA_LABEL}" in path.stem else ""
        if event.what == EMBEDDING:
            label = "-".join(part for part in (word_of(path, run), label) if part)
        yield Result(
            path,
            kind_of(event.what, run),
            event.step,
            -int(-event.epoch // 1),
            event.num_bytes,
            "",
            label,
            is_final=event.reason in FINAL,
        )


def word_of(path: Path, run: Run) -> str:
    """The word that an embedding is of."""
    names = sorted((word.name for word in run.words), key=len, reverse=True)
    return next((name for name in names if f"{path.stem}-".startswith(f"{name}-")), path.stem)


def kind_of(what: str, run: Run) -> str:
    """The kind of file that a kind of save makes in this run."""
    if what == DIFFUSERS_KIND:
        return DIFFUSERS
    if what == EMBEDDING:
        return EMBEDDING
    return ADAPTER if what == RESULT_KIND and is_adapter(run) else CHECKPOINT
