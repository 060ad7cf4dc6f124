"""The report of a run, section by section, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lib_dreambooth.jobs.report import curves
from lib_dreambooth.jobs.report.changed import changed_settings, labelled, presets_of
from lib_dreambooth.jobs.report.document import Block, Document, Section, Table
from lib_dreambooth.jobs.report.files import table_of_files
from lib_dreambooth.jobs.report.parts import Part
from lib_dreambooth.jobs.report.previews import gallery_of
from lib_dreambooth.jobs.report.story import Story, ending
from lib_dreambooth.jobs.report.words import NONE, UNKNOWN, beginning, counted, duration, moment, number, size
from lib_dreambooth.runs.events import (
    Paused,
    Step,
    Validated,
    Warned,
)
from lib_dreambooth.settings.fields import TITLES, field_at
from lib_dreambooth.settings.meaning import alpha_of, is_adapter, made, rate_of, trained_parts
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.privacy import name_only, without_paths

MOST_WARNINGS = 100


def document_of(story: Story) -> Document:
    """The report in plain words."""
    steps, validations = curves.steps_of(story.parts), curves.validations_of(story.parts)
    sections = [
        Section("What was trained", tuple(_subject(story))),
        Section("Settings of its own", tuple(_settings_blocks(story))),
        Section("Curves", tuple(_curves(story, steps, validations))),
        Section("Previews", tuple(_previews(story))),
        Section("Files", tuple(_files(story))),
        Section("Time and memory", tuple(_time(story, steps))),
        Section("Warnings", tuple(_warnings(story.parts))),
    ]
    kept = tuple(section for section in sections if section.blocks)
    return Document(f"{story.folder.name}: report of a run", _lead(story, steps), kept, story.stem)


def _lead(story: Story, steps: Sequence[Step]) -> str:
    main = [part for part in story.parts if part.started] or list(story.parts[-1:])
    later = story.parts[story.parts.index(main[-1]) + 1 :]
    total = story.started.num_steps if story.started else None
    done = f"{max(part.last_step for part in story.parts):,}"
    of_all = f"{done} of {total:,} steps" if total else f"{done} steps"
    words = [
        f"{beginning(ending(main[-1]))}. {of_all} in {duration(sum(part.seconds for part in story.parts))}."
    ]
    smoothed = [step.smoothed for step in steps if step.smoothed is not None]
    if len(smoothed) > 1:
        words.append(f"The smoothed loss went from {number(smoothed[0])} to {number(smoothed[-1])}.")
    words += [f"A later attempt {ending(part)}." for part in later]
    return " ".join(words)


def _subject(story: Story) -> Iterator[Block]:
    facts = dict(story.started.facts) if story.started else {}
    base = facts.pop("base", "") or (name_only(story.card.base.path) if story.card else "")
    facts.pop("family", "")
    digest = facts.pop("SHA-256 of the base", "") or (story.card.base.sha256 if story.card else "")
    rows = [("Base", base or UNKNOWN), ("SHA-256 of the base", digest or UNKNOWN)]
    rows.append(("Family", label_of("model.family", story.family) or UNKNOWN))
    if story.sourced is not None:
        rows += _trained(story.sourced.run, story.family)
    rows += [(beginning(name), text) for name, text in facts.items()]
    if story.started and story.started.steps_per_epoch:
        rows.append(("Steps in an epoch", f"{story.started.steps_per_epoch:,}"))
    yield Table(("", ""), tuple((name, without_paths(text)) for name, text in rows))
    if story.sourced is not None and story.sourced.run.concepts:
        yield _concepts(story.sourced.run)


def _trained(run: Run, family: str) -> Iterator[tuple[str, str]]:
    kind = label_of("network.kind", run.network.kind)
    rank = f", rank {run.network.rank}, alpha {alpha_of(run):g}" if is_adapter(run) else ""
    what = [] if made(run) == ("words",) else [f"{kind}{rank}"]
    if run.parts.words.train:
        what += [f"the word {word.name} of {counted(word.vectors, 'vector')}" for word in run.words]
    yield "Trained", ", ".join(what)
    parts = [
        f"{TITLES[f'parts.{part}']} at {number(rate_of(run, part))}" for part in trained_parts(run, family)
    ]
    yield "Parts", ", ".join(parts) or NONE
    yield "Resolution", str(run.pictures.resolution)
    yield "Batch", f"{run.length.batch_size} x {run.length.accumulation}"


def _concepts(run: Run) -> Table:
    rows = tuple(
        (
            concept.name or name_only(concept.folder) or NONE,
            name_only(concept.folder) or NONE,
            label_of("concepts.0.role", concept.role),
            concept.token or NONE,
            concept.class_token or NONE,
            f"{concept.repeats:,}",
        )
        for concept in run.concepts
    )
    head = ("Concept", "Folder", "Used for", "Instance token", "Class token", "Repeats")
    return Table(head, rows, frozenset({5}))


def label_of(path: str, value: str) -> str:
    """A value in the words of the form."""
    field = field_at(path)
    return labelled(field, value) if field and value else value


def _settings_blocks(story: Story) -> Iterator[Block]:
    if story.sourced is None:
        yield "The settings of this run cannot be read any more."
        return
    presets = presets_of(story.sourced)
    yield (
        f"Made with the preset {' and '.join(presets)}; what differs from it:"
        if presets
        else "What differs from the defaults:"
    )
    table = changed_settings(story.sourced, story.family)
    yield table if table.rows else "Nothing."


def _curves(story: Story, steps: Sequence[Step], validations: Sequence[Validated]) -> Iterator[Block]:
    marks = curves.marks_of(story.parts)
    yield from curves.charts(steps, validations, marks)
    if marks:
        after = ", ".join(f"{step:,}" for step in marks)
        yield f"Thin dashed lines: the run was gone on with after step {after}."
    if steps:
        yield curves.table_of_steps(steps)
    if validations:
        yield curves.table_of_validations(validations)
    if not steps and not validations:
        yield "No step was taken."


def _previews(story: Story) -> Iterator[Block]:
    gallery = gallery_of(story.folder, story.parts)
    if gallery is not None:
        yield gallery


def _files(story: Story) -> Iterator[Block]:
    table = table_of_files(story.folder, story.parts)
    yield table if table.rows else "None was written."


def _time(story: Story, steps: Sequence[Step]) -> Iterator[Block]:
    events = [event for part in story.parts for event in part.events]
    seconds = sum(part.seconds for part in story.parts)
    device = without_paths(story.started.device) if story.started else ""
    is_exact = all(part.finished for part in story.parts)
    speeds = sorted(step.steps_per_second for step in steps if step.steps_per_second)
    paused = sum(part.seconds_paused for part in story.parts)
    peak = max((_memory(step) for step in steps), default=0)
    rows = [
        ("Device", device or UNKNOWN),
        ("Began", moment(events[0].time)),
        ("Ended", moment(events[-1].time)),
        ("Time on the device", f"{'' if is_exact else 'about '}{duration(seconds)}"),
        ("Card-hours", f"{seconds / 3600:.2f}" if device != "cpu" else "none, trained on the processor"),
        ("Paused", duration(paused) if paused else NONE),
        ("Speed", f"{number(speeds[len(speeds) // 2])} steps a second" if speeds else UNKNOWN),
        ("Peak memory of the card", size(peak) if peak else "not measured"),
        ("Interruptions", str(len(story.parts) - 1)),
    ]
    yield Table(("", ""), tuple(rows))
    if len(story.parts) > 1:
        yield _table_of_parts(story.parts)


def _memory(step: Step) -> int:
    return step.memory.get("peak") or max(
        (count for kind, count in step.memory.items() if kind != "free"), default=0
    )


def _table_of_parts(parts: Sequence[Part]) -> Table:
    rows = tuple(
        (
            moment(part.started.time if part.started else part.events[0].time),
            f"{part.first_step:,}" if part.started else NONE,
            f"{part.last_step:,}" if part.started else NONE,
            duration(part.seconds),
            counted(len(part.of(Paused)), "pause") if part.of(Paused) else NONE,
            ending(part),
        )
        for part in parts
    )
    return Table(
        ("Began", "After step", "Until step", "Time", "Pauses", "How it ended"), rows, frozenset({1, 2, 3})
    )


def _warnings(parts: Sequence[Part]) -> Iterator[Block]:
    told = Counter(
        (without_paths(event.text), without_paths(event.where)) for part in parts for event in part.of(Warned)
    )
    rows = [(f"{count:,}", text, where) for (text, where), count in told.items()]
    if rows:
        yield Table(("Times", "What", "Where"), tuple(rows[:MOST_WARNINGS]), frozenset({0}))
    if len(rows) > MOST_WARNINGS:
        yield f"And {counted(len(rows) - MOST_WARNINGS, 'warning')} more."
