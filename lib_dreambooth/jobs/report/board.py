"""A run as plain text to paste into a board: source, preparation, settings, way of calling, result."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lib_dreambooth.base.showing import visible_line
from lib_dreambooth.jobs.report import curves
from lib_dreambooth.jobs.report.board_words import LANGUAGES, BoardWords
from lib_dreambooth.jobs.report.changed import changed_settings
from lib_dreambooth.jobs.report.gathering import label_of
from lib_dreambooth.jobs.report.parts import STATE
from lib_dreambooth.jobs.report.story import Story
from lib_dreambooth.jobs.report.words import number, size
from lib_dreambooth.runs.events import CANCELLED, DISCARDED, DONE, Saved
from lib_dreambooth.settings.fields import TITLES
from lib_dreambooth.settings.meaning import alpha_of, is_adapter, rate_of, trained_parts
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.metadata import trigger_text
from lib_dreambooth.training.export.privacy import name_only, without_paths
from lib_dreambooth.training.export.result import EMBEDDING

DIGITS = 10
# "12 in riho (10 times each)", several behind each other.
FOLDER = re.compile(r"(\d+) in (.*?)(?: \((\d+) times each\))?(?:, (?=\d+ in )|$)")
# Told under labels of their own.
TOLD = (
    "Network: ",
    "Parts: ",
    "Optimizer: Optimizer",
    "Learning Rates: Schedule",
    "Length: ",
    "Pictures: Resolution",
)
Line = tuple[str, str]


def board_text(story: Story, language: str) -> str:
    """The text in one of LANGUAGES; lines that nothing is known for are left out."""
    words = LANGUAGES[language]
    sections = (
        (words.source, _source(story, words)),
        (words.preparation, _preparation(story, words)),
        (words.settings, _settings(story, words)),
        (words.calling, _calling(story, words)),
        (words.result, _result(story, words)),
    )
    parts = []
    for heading, lines in sections:
        told = [f"{label}{words.colon}{visible_line(without_paths(text))}" for label, text in lines if text]
        if told:
            parts.append("\n".join([f"【{heading}】", *told]))
    return "\n\n".join([visible_line(story.folder.name), *parts]) + "\n"


def _facts(story: Story) -> dict[str, str]:
    return dict(story.started.facts) if story.started else {}


def _source(story: Story, words: BoardWords) -> Iterator[Line]:
    facts = _facts(story)
    base = facts.get("base") or (name_only(story.card.base.path) if story.card else "")
    digest = facts.get("SHA-256 of the base") or (story.card.base.sha256 if story.card else "")
    named = f"{base} ({digest[:DIGITS]})" if digest else base
    yield words.base, named if base else words.unknown
    yield words.family, label_of("model.family", story.family)


def _preparation(story: Story, words: BoardWords) -> Iterator[Line]:
    facts = _facts(story)
    yield words.training, _folders(facts.get("pictures", ""), words)
    yield words.classes, _folders(facts.get("class pictures", ""), words)
    if story.sourced is not None:
        yield words.resolution, str(story.sourced.run.pictures.resolution)
    yield words.tags, facts.get("tags in captions", "")


def _folders(text: str, words: BoardWords) -> str:
    told = []
    for count, name, repeats in FOLDER.findall(text):
        named = f"{name}, {words.repeated.format(count=repeats)}" if repeats else name
        told.append(words.pictures.format(count=count, name=named))
    return ", ".join(told)


def _settings(story: Story, words: BoardWords) -> Iterator[Line]:
    if story.sourced is None:
        return
    run = story.sourced.run
    rank = f", rank {run.network.rank}, alpha {alpha_of(run):g}" if is_adapter(run) else ""
    yield words.kind, f"{label_of('network.kind', run.network.kind)}{rank}"
    parts = trained_parts(run, story.family)
    yield words.rates, ", ".join(f"{TITLES[f'parts.{p}']} {number(rate_of(run, p))}" for p in parts)
    yield words.optimizer, run.optimizer.name
    yield words.schedule, label_of("rates.schedule", run.rates.schedule)
    yield words.batch, f"{run.length.batch_size} x {run.length.accumulation}"
    yield words.length, str(run.length.train_for)
    yield words.seed, str(run.draws.seed)
    rows = changed_settings(story.sourced, story.family).rows
    others = [f"{name} = {value}" for name, value, *_ in rows if not name.startswith(TOLD)]
    yield words.others, "; ".join(others)


def _calling(story: Story, words: BoardWords) -> Iterator[Line]:
    run = story.sourced.run if story.sourced is not None else None
    files = _files(story)
    last = {saved.what: name for name, saved in files.items()}
    result = last.get("result", "")
    stem = result.rpartition(".")[0]
    if run is not None and result:
        spoken = f"<lora:{stem}:{run.metadata.weight or 1:g}>"
        yield (words.prompt, spoken) if is_adapter(run) else (words.choose, stem)
    yield words.trigger, _trigger(run, last)


def _trigger(run: Run | None, last: dict[str, str]) -> str:
    word = last.get(EMBEDDING, "").rpartition(".")[0]
    spoken = trigger_text(run, {}) if run is not None else ""
    return spoken or word


def _files(story: Story) -> dict[str, Saved]:
    """Files for use by name, in the order of writing."""
    saved = [one for part in story.parts for one in part.of(Saved) if one.what != STATE]
    return {name_only(path): one for one in saved for path in one.paths}


def _result(story: Story, words: BoardWords) -> Iterator[Line]:
    main = [part for part in story.parts if part.started] or list(story.parts[-1:])
    end = main[-1].finished
    outcomes = {DONE: words.done, CANCELLED: words.cancelled, DISCARDED: words.cancelled}
    outcome = words.interrupted if end is None else outcomes.get(end.outcome, words.failed)
    seconds = round(sum(part.seconds for part in story.parts))
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    done = f"{max(part.last_step for part in story.parts):,}"
    total = story.started.num_steps if story.started else None
    steps = words.steps.format(done=done, total=f"{total:,}") if total else done
    yield words.ended, f"{outcome} ({steps}, {clock})"
    smoothed = [step.smoothed for step in curves.steps_of(story.parts) if step.smoothed is not None]
    if len(smoothed) > 1:
        yield words.loss, f"{number(smoothed[0])} -> {number(smoothed[-1])}"
    for name, saved in list(_files(story).items())[-1:]:
        yield words.file, f"{name} ({size(saved.num_bytes)})"
