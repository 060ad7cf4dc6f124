"""Which previews a run draws: the user's prompts, or useful ones made from its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib_dreambooth.data.captions.words import has_word
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.sampling.generator import Request
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.class_drawing import plain_words
from lib_dreambooth.training.previews.prompt_lines import PreviewPrompt, parse_line, read_prompts

# What is drawn where nobody asked for anything, with the trigger for {}: alone, elsewhere, in other clothes.
DEFAULTS = ("{}", "{}, in a forest, full body", "{} in a red coat, sitting in a cafe")
WITHOUT_SUBJECT = "a photo of a street in a town"
SANITY = "sanity"
# Captions that are drawn where no word calls the subject.
MOST_CAPTIONS = 2
STEPS_LOOKED_AT = 50
# Latents are this many pixels wide.
SIDE_STEP = 8


@dataclass(frozen=True)
class Preview:
    """One picture, with everything that decides it."""

    request: Request
    settings: PictureSettings
    concept: str = ""


def previews_of(run: Run, base: PictureSettings, seed: int, captions: Sequence[str] = ()) -> list[Preview]:
    """Every preview of a run in order; `base` carries what the host decides, `seed` stands in for -1.

    `captions` are prompts that show the subject where no word of the settings calls it.
    """
    wanted = [*prompts_of(run, captions), *_sanity(run)]
    size = run.pictures.resolution if run.previews.size.is_auto else run.previews.size
    width, height = (max(64, side // SIDE_STEP * SIDE_STEP) for side in (size.width, size.height))
    common = replace(
        base,
        sampler=run.previews.sampler,
        steps=run.previews.steps,
        guidance=run.previews.guidance,
        width=width,
        height=height,
        clip_skip=run.model.clip_skip,
        batch_size=run.previews.batch_size,
    )
    first = run.previews.seed if run.previews.seed >= 0 else seed
    return [
        _preview(run, prompt, common, (first if prompt.seed is None else prompt.seed) + number)
        for prompt in wanted
        for number in range(1 if prompt.concept == SANITY else run.previews.count)
    ]


def prompts_of(run: Run, captions: Sequence[str] = ()) -> list[PreviewPrompt]:
    """The prompts of the concepts, of the settings and of the file; else those that are made."""
    found = [
        parse_line(line, f"concepts.{number}.sample_prompts", concept.name or Path(concept.folder).name)
        for number, concept in enumerate(run.concepts)
        for line in concept.sample_prompts
    ]
    found += [parse_line(line, "previews.prompts") for line in run.previews.prompts]
    if run.previews.file:
        found += read_prompts(Path(run.previews.file))
    return found or made_prompts(run, captions)


def made_prompts(run: Run, captions: Sequence[str] = ()) -> list[PreviewPrompt]:
    """The trigger alone, elsewhere and in other clothes, each other way of calling it, and nothing of it."""
    calls: list[str] = []
    for concept in run.concepts:
        if concept.role == "train":
            words = [concept.token, concept.class_token]
            calls.append(" ".join(word for word in words if word))
    if run.parts.words.train:
        calls += [word.name for word in run.words if not any(has_word(call, word.name) for call in calls)]
    calls = [*dict.fromkeys(call for call in (run.metadata.trigger, *calls) if call)]
    if not calls:
        return [PreviewPrompt(text) for text in (*captions, WITHOUT_SUBJECT)]
    texts = [form.format(calls[0]) for form in DEFAULTS] + calls[1:]
    classes = [concept.class_token for concept in run.concepts if concept.class_token]
    without = f"a {classes[0]}" if classes else WITHOUT_SUBJECT
    return [PreviewPrompt(text) for text in (*texts, without)]


def captions_shown(dataset: Dataset, most: int = MOST_CAPTIONS) -> list[str]:
    """The first different captions that are trained, as prompts that say the same."""
    found: dict[str, None] = {}
    for step in dataset.plan.steps(0, min(STEPS_LOOKED_AT, dataset.plan.steps_per_epoch)):
        for batch in step:
            for visit in batch.visits:
                if not visit.item.is_class and (caption := dataset.caption(visit, batch)):
                    found[caption if dataset.run.captions.weights else plain_words(caption)] = None
        if len(found) >= most:
            break
    return list(found)[:most]


def grouped(previews: Sequence[Preview]) -> list[list[Preview]]:
    """Neighbours that differ in prompt and seed alone, which can be drawn together."""
    groups: list[list[Preview]] = []
    for preview in previews:
        if not groups or groups[-1][0].settings != preview.settings:
            groups.append([])
        groups[-1].append(preview)
    return groups


def _sanity(run: Run) -> list[PreviewPrompt]:
    settings = run.previews
    if not settings.sanity_prompt:
        return []
    return [PreviewPrompt(settings.sanity_prompt, seed=settings.sanity_seed, concept=SANITY)]


def _preview(run: Run, prompt: PreviewPrompt, common: PictureSettings, seed: int) -> Preview:
    settings = replace(
        common,
        width=prompt.width or common.width,
        height=prompt.height or common.height,
        steps=prompt.steps or common.steps,
        guidance=common.guidance if prompt.guidance is None else prompt.guidance,
        sampler=prompt.sampler or common.sampler,
    )
    settings.check()
    negative = run.previews.negative if prompt.negative is None else prompt.negative
    return Preview(Request(prompt.prompt, negative, seed), settings, prompt.concept)
