"""What `--dry-run` says: what a run would do and write, before anything is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lib_dreambooth.base.showing import shown_bytes
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.running import say_findings
from lib_dreambooth.settings.length import LengthPlan, plan_line, plural
from lib_dreambooth.settings.outline import Outline, outline
from lib_dreambooth.settings.schema import Run

if TYPE_CHECKING:
    from lib_dreambooth.jobs.memory import Told
    from lib_dreambooth.jobs.plan import RunPlan

# More steps than this are said as the first ones and their number.
MOST_SHOWN = 8


def add(parser: argparse.ArgumentParser) -> None:
    """The option itself."""
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, say what would be done, and write nothing"
    )


def say_plan(plan: RunPlan, model: str, out: Out) -> None:
    """All that a dry run says; `model` is where its folder is."""
    # Only here: it takes a moment.
    from lib_dreambooth.jobs.memory import forecast_of

    say_findings(plan, out)
    told = forecast_of(plan, offering=False)
    beside = plan.run.class_pictures.relation == "beside"
    shown = [str(path) for path in plan.files]
    extra = {
        "base": f"{plan.run.model.base}, {plan.kind.title()}",
        "model": model,
        **({"words": words_text(plan.run)} if plan.run.parts.words.train else {}),
        **({"class pictures": f"{plan.new_class_pictures:,} to be drawn"} if plan.new_class_pictures else {}),
        **({"last file": shown[-1]} if shown else {}),
        "memory": memory_text(told),
        **({"time": told.forecast.time_text()} if told.forecast.seconds is not None else {}),
        "disk": plan.disk.text() + ("" if plan.disk.is_enough else ": too little"),
    }
    say(
        out,
        plan.run,
        plan.length,
        pictures=plan.num_pictures,
        repeats=plan.repeats,
        class_items=0 if beside else plan.num_class_visits,
        forecast=extra,
        paths=shown,
        disk_bytes=plan.disk.total,
        memory_bytes=told.forecast.bytes,
    )


def memory_text(told: Told) -> str:
    """What a run takes, and of how much."""
    if told.room is None:
        return told.forecast.text()
    verdict = "" if told.fits else ": too much"
    return f"{told.forecast.text()}, of {shown_bytes(told.room)}{verdict}"


def say(
    out: Out,
    run: Run,
    plan: LengthPlan,
    *,
    pictures: int,
    repeats: int | None = None,
    class_items: int = 0,
    forecast: Mapping[str, str] | None = None,
    paths: Sequence[str] = (),
    disk_bytes: int | None = None,
    memory_bytes: int | None = None,
) -> None:
    """The plan of a run; `forecast` adds lines such as memory and disk, `paths` are all files for use."""
    beside = run.class_pictures.relation == "beside"
    arithmetic = plan_line(plan, pictures, repeats, class_items, beside)
    found = outline(run, plan)
    out.line(arithmetic)
    rows = [
        ("files during training", times_text(found.saves, str(run.saving.every))),
        ("previews", times_text(found.previews, str(run.previews.every))),
        ("files", files_text(found, run)),
        *(forecast or {}).items(),
    ]
    out.table([(f"{name}:", text) for name, text in rows])
    answer = as_json(found, arithmetic, plan, forecast or {})
    out.result(answer | {"paths": list(paths), "disk_bytes": disk_bytes, "memory_bytes": memory_bytes})


def words_text(run: Run) -> str:
    """The new words and how many vectors each has."""
    return ", ".join(f"{word.name} of {word.vectors} {plural(word.vectors, 'vector')}" for word in run.words)


def times_text(steps: Sequence[int] | None, every: str) -> str:
    """The steps at which something happens."""
    if steps is None:
        return f"every {every}"
    if not steps:
        return "none"
    shown = ", ".join(f"{step:,}" for step in steps[:MOST_SHOWN])
    return (
        f"after steps {shown}"
        if len(steps) <= MOST_SHOWN
        else f"after steps {shown} ... ({len(steps)} times)"
    )


def files_text(found: Outline, run: Run) -> str:
    """How many files of each kind there will be at the end."""
    counts = [f"{count} x {kind}" for kind, count in found.files.items()]
    more = f", and more every {run.saving.every}" if found.saves is None else ""
    return f"{', '.join(counts)}{more}"


def as_json(found: Outline, arithmetic: str, plan: LengthPlan, forecast: Mapping[str, str]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "arithmetic": arithmetic,
        "steps_per_epoch": plan.epoch.steps,
        "total_steps": found.total_steps,
        "saves": found.saves,
        "previews": found.previews,
        "files": found.files,
        "forecast": dict(forecast),
    }
