"""What a run will do and write, as far as its settings and the number of pictures tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib_dreambooth.base.durations import Duration
from lib_dreambooth.settings.due import due_steps
from lib_dreambooth.settings.length import LengthPlan
from lib_dreambooth.settings.meaning import made
from lib_dreambooth.settings.schema import Run

NAMES = {"network": "LoRA", "weights": "checkpoint", "words": "embedding"}


@dataclass(frozen=True)
class Outline:
    """Steps at which things happen, and how many files of each kind are written.

    `saves` and `previews` are None where they depend on the clock or on when the run is stopped.
    """

    total_steps: int | None
    saves: tuple[int, ...] | None
    previews: tuple[int, ...] | None
    files: dict[str, int]


def outline(run: Run, plan: LengthPlan) -> Outline:
    """The outline of a run that goes through to its end."""
    saves = times(run.saving.every, plan)
    previews = times(run.previews.every, plan)
    return Outline(plan.total_steps, saves, previews, files(run, saves or ()))


def times(every: Duration, plan: LengthPlan) -> tuple[int, ...] | None:
    """The steps before the end at which something falls due."""
    if every.unit == "minutes":
        return None
    if plan.total_steps is None:
        return () if every.is_never else None
    return tuple(step for step in due_steps(every, plan) if step < plan.total_steps)


def files(run: Run, saves: Sequence[int]) -> dict[str, int]:
    """Files by kind, those taken away again because only the last are kept left out."""
    saving = run.saving
    kept = min(len(saves), saving.keep) if saving.keep else len(saves)
    found: dict[str, int] = {}
    for kinds, count in ((saving.during, kept), (saving.at_end, 1)):
        for kind in kinds:
            for name in kinds_of(run, kind):
                each = max(1, len(run.words)) if name == NAMES["words"] else 1
                found[name] = found.get(name, 0) + count * each
    if "state" in found:
        found["state"] = min(found["state"], saving.keep_states)
    return {name: count for name, count in found.items() if count}


def kinds_of(run: Run, kind: str) -> tuple[str, ...]:
    """What one choice of `saving.during` or `saving.at_end` writes in this run."""
    parts = made(run)
    if parts == ("words",) and kind in ("checkpoint", "diffusers"):
        # The model stays what it is: there is nothing to write but the words.
        return () if "result" in (*run.saving.during, *run.saving.at_end) else (NAMES["words"],)
    if kind == "checkpoint":
        # Where whole weights are trained, the checkpoint is the result.
        return () if "weights" in parts and "result" in run.saving.at_end else ("checkpoint",)
    if kind != "result":
        return (kind,)
    if "network" in parts and "words" in parts and run.saving.words_as == "bundle":
        return ("LoRA",)
    return tuple(NAMES[part] for part in parts)
