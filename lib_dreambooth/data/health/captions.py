"""Findings about captions: missing, empty, of mixed styles, without the trigger. Pure functions of text."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from lib_dreambooth.data.captions.compose import Line, split
from lib_dreambooth.data.captions.prompts import PLACEHOLDER_PATTERN
from lib_dreambooth.data.captions.read import caption_lines
from lib_dreambooth.data.captions.tagtext import split_tags, tag_key
from lib_dreambooth.data.captions.words import find_word, has_word
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.data.tags.vocabulary import kind_of
from lib_dreambooth.settings.length import plural
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept

Style = Literal["tags", "sentence", "unclear"]
# Small words that sentences have and tags do not.
SENTENCE_WORDS = frozenset(
    {
        "a", "an", "the", "is", "are", "was", "with", "of", "in", "on", "at", "and", "her", "his", "their",
        "its", "has",
    }
)  # fmt: skip
SENTENCE_ENDS = re.compile(r"[.!?。！？]\s*$")
SHORTEST_SENTENCE = 8
# A style that fewer captions than this share have is a slip of the pen.
LEAST_STYLE = 0.1
# What so many of a folder's captions begin with is used as a trigger.
IMPLIED_SHARE = 0.95
# A trigger behind so many tags counts little for what is in front of it.
LATE_TAG = 8


@dataclass(frozen=True, slots=True)
class Captioned:
    """A training picture with its caption as prepared and the settings that hold for it."""

    item: Item
    lines: tuple[Line, ...]
    captions: Captions
    concept: Concept

    @property
    def keys(self) -> frozenset[str]:
        """The tags of the caption as written, each in one spelling."""
        lines = caption_lines(self.item.caption.text)
        return frozenset(tag_key(t) for line in lines for t in split_tags(line, self.captions.separator))

    @property
    def is_written(self) -> bool:
        """Whether somebody wrote this caption; a file's or folder's name is none."""
        return self.item.caption.origin in ("txt", "caption", "json", "metadata")

    @property
    def uses_caption(self) -> bool:
        """Whether the prompt template takes the caption at all."""
        template = self.concept.prompt
        return not template.strip() or PLACEHOLDER_PATTERN.search(template) is not None


def caption_findings(training: Sequence[Captioned]) -> list[Finding]:
    """Everything that is wrong with the captions of training pictures."""
    return [
        *without_captions(training),
        *empty_captions(training),
        *nothing_trained(training),
        *unused_lines(training),
        *mixed_styles(training),
        *doubled_words(training),
        *trigger_missing(training),
        *trigger_moves(training),
        *trigger_late(training),
        *folder_name_missing(training),
    ]


def without_captions(training: Sequence[Captioned]) -> list[Finding]:
    """Some pictures have captions and others none; a set wholly without is a way of its own."""
    used = [one for one in training if one.uses_caption]
    missing = [one for one in used if one.item.caption.origin in ("none", "folder", "setting")]
    if not missing or len(missing) == len(used):
        return []
    return [
        Finding(
            "no-caption",
            "warning",
            paths(missing),
            f"{len(missing)} of {len(used)} pictures have no caption.",
            "Everything in them is learned as part of the trigger, the ground behind included.",
            "Write captions for them, or let the tagger do it.",
        )
    ]


def empty_captions(training: Sequence[Captioned]) -> list[Finding]:
    """Caption files with nothing in them."""
    found = [
        one
        for one in training
        if one.uses_caption and one.is_written and not caption_lines(one.item.caption.text)
    ]
    if not found:
        return []
    return [
        Finding(
            "empty-caption",
            "warning",
            paths(found),
            f"{len(found)} caption files are empty.",
            "These pictures are trained on the tokens alone.",
            "Write a caption, or delete the file if that is meant.",
        )
    ]


def nothing_trained(training: Sequence[Captioned]) -> list[Finding]:
    """Pictures whose prompt ends up without a word."""
    found = [one for one in training if not any(line.text for line in one.lines)]
    if not found:
        return []
    return [
        Finding(
            "empty-prompt",
            "warning",
            paths(found),
            f"{len(found)} {plural(len(found), 'picture is', 'pictures are')} trained with an empty prompt.",
            "Nothing in a prompt will call what they show; all pictures drift towards them.",
            "Give an instance token, or captions.",
        )
    ]


def unused_lines(training: Sequence[Captioned]) -> list[Finding]:
    """Captions of several lines of which only the first counts."""
    found = [
        one
        for one in training
        if one.uses_caption
        and one.captions.lines == "first"
        and len(caption_lines(one.item.caption.text)) > 1
    ]
    if not found:
        return []
    return [
        Finding(
            "unused-lines",
            "warning",
            paths(found),
            f"{len(found)} {plural(len(found), 'caption has', 'captions have')} several lines; "
            "only the first is used.",
            "What the other lines say is not trained.",
            "Set Captions of Several Lines to draw one each time, or to join them.",
        )
    ]


def style_of(text: str, separator: str = ",") -> Style:
    """Whether a caption is a list of tags or a sentence; short ones are unclear."""
    tags = split_tags(text, separator)
    words = [word.strip(",;:").casefold() for word in text.split()]
    if SENTENCE_ENDS.search(text) and len(text) >= SHORTEST_SENTENCE:
        return "sentence"
    if not tags or (len(tags) < 3 and len(words) < 4):
        return "unclear"
    small_words = sum(word in SENTENCE_WORDS for word in words) / len(words)
    per_tag = len(words) / len(tags)
    if small_words >= 0.15 and per_tag >= 4:
        return "sentence"
    if len(tags) >= 3 and per_tag <= 3.5 and small_words < 0.15:
        return "tags"
    return "unclear"


def mixed_styles(training: Sequence[Captioned]) -> list[Finding]:
    """Tags in some captions and sentences in others, within one concept."""
    findings = []
    for concept, group in by_concept(training).items():
        styles: dict[Style, list[Captioned]] = defaultdict(list)
        for one in group:
            if one.uses_caption and one.is_written:
                styles[
                    style_of(" ".join(caption_lines(one.item.caption.text)), one.captions.separator)
                ].append(one)
        tags, sentences = styles["tags"], styles["sentence"]
        fewer = min(tags, sentences, key=len)
        if not fewer or len(fewer) < LEAST_STYLE * (len(tags) + len(sentences)):
            continue
        findings.append(
            Finding(
                "mixed-captions",
                "warning",
                paths(fewer),
                f"Concept {concept + 1} has {len(tags)} captions of tags and {len(sentences)} of sentences.",
                "Each style calls only what was learned with it, so neither prompt gets all of the subject.",
                "Write all captions in the style that you will prompt in.",
            )
        )
    return findings


def doubled_words(training: Sequence[Captioned]) -> list[Finding]:
    """Prompts that say the trigger twice in a row."""
    found = [
        one
        for one in training
        for trigger in [one.concept.token.strip()]
        if trigger and any(has_word(line.text, f"{trigger} {trigger}") for line in one.lines)
    ]
    if not found:
        return []
    return [
        Finding(
            "doubled-trigger",
            "warning",
            paths(found),
            f"{len(found)} prompts say the trigger twice in a row.",
            "It is learned as a doubled word and answers less to the single one.",
            "Correct these captions.",
        )
    ]


def trigger_missing(training: Sequence[Captioned]) -> list[Finding]:
    """Prompts without the concept's trigger, as they are really trained."""
    findings = []
    for group in by_concept(training).values():
        trigger = group[0].concept.token.strip()
        if not trigger:
            continue
        found = [one for one in group if not all(has_word(line.text, trigger) for line in one.lines)]
        if not found:
            continue
        findings.append(
            Finding(
                "trigger-missing",
                "warning",
                paths(found),
                f"{len(found)} of {len(group)} prompts do not have the trigger `{trigger}`.",
                "What these pictures show is not called by it.",
                "Use [filewords] in the instance prompt, or write the trigger into it.",
            )
        )
    return findings


def trigger_moves(training: Sequence[Captioned]) -> list[Finding]:
    """The trigger stands where tags are shuffled or dropped."""
    found = [one for one in training if one.concept.token.strip() and _is_loose(one)]
    if not found:
        return []
    return [
        Finding(
            "trigger-moves",
            "warning",
            paths(found),
            f"In {len(found)} captions the trigger is not among the tags that stay in front.",
            "It is shuffled, or dropped in a part of the visits, and is learned more weakly.",
            "Write it first and set Keep Tokens to at least 1.",
        )
    ]


def trigger_late(training: Sequence[Captioned]) -> list[Finding]:
    """The trigger stands far behind although nothing moves."""
    found = []
    for one in training:
        trigger = one.concept.token.strip()
        if not trigger or _moves(one.captions):
            continue
        places = [find_word(line.text, trigger) for line in one.lines]
        before = [line.text[: place.start()] for line, place in zip(one.lines, places, strict=True) if place]
        if any(len(split_tags(text, one.captions.separator)) > LATE_TAG for text in before):
            found.append(one)
    if not found:
        return []
    return [
        Finding(
            "trigger-late",
            "note",
            paths(found),
            f"In {len(found)} captions more than {LATE_TAG} tags stand before the trigger.",
            "Words in front count for more; the trigger is learned more weakly.",
            "Write it first.",
        )
    ]


def folder_name_missing(training: Sequence[Captioned]) -> list[Finding]:
    """A folder `16_name` whose captions never say the name: the tags will be the trigger, not the folder."""
    folders: dict[str, list[Captioned]] = defaultdict(list)
    for one in training:
        if one.is_written:
            folders[folder_of(one)].append(one)
    findings = []
    for folder, group in folders.items():
        number, _, label = PurePath(folder).name.partition("_")
        spoken = label.replace("_", " ").strip()
        texts = [line.text for one in group for line in one.lines]
        if not number.isdecimal() or not spoken or len(group) < 2:
            continue
        if any(has_word(text, spoken) or has_word(text, label) for text in texts):
            continue
        joined = spoken.replace(" ", "")
        similar = any(
            joined.casefold() in text.replace(" ", "").replace("_", "").casefold() for text in texts
        )
        hint = f" They say `{joined}` instead." if similar and joined != spoken else ""
        findings.append(
            Finding(
                "folder-name-missing",
                "note",
                (folder,),
                f"No caption in `{PurePath(folder).name}` says `{label}`.{hint}",
                "The folder's name is not trained where captions exist: what they say will be the trigger.",
                f"Prompt with the words of the captions, or add `{label}` to them.",
            )
        )
    return findings


def implied_triggers(training: Sequence[Captioned]) -> dict[str, str]:
    """For each folder without an instance token, the tag that nearly all of its captions begin with."""
    first: dict[str, list[str]] = defaultdict(list)
    for one in training:
        tags = split_tags(one.lines[0].text, one.captions.separator)
        if not one.concept.token.strip() and one.is_written and tags:
            first[folder_of(one)].append(tags[0])
    found = {}
    for folder, tags in first.items():
        (tag, count), *_ = Counter(tags).most_common(1)
        if count >= max(2, IMPLIED_SHARE * len(tags)) and kind_of(tag_key(tag)) == "other":
            found[folder] = tag
    return found


def folder_of(one: Captioned) -> str:
    """The folder that a picture lies in."""
    return str(PurePath(one.item.path).parent)


def by_concept(training: Sequence[Captioned]) -> dict[int, list[Captioned]]:
    """Pictures by the number of their concept."""
    found: dict[int, list[Captioned]] = defaultdict(list)
    for one in training:
        found[one.item.concept].append(one)
    return dict(found)


def paths(training: Sequence[Captioned]) -> tuple[str, ...]:
    """The files of some pictures."""
    return tuple(one.item.path for one in training)


def _moves(captions: Captions) -> bool:
    return captions.shuffle or captions.tag_dropout > 0


def _is_loose(one: Captioned) -> bool:
    if not _moves(one.captions):
        return False
    trigger = one.concept.token
    for line in one.lines:
        parts = split(line.text, one.captions, line.names)
        in_front = any(has_word(tag, trigger) for tag in parts.front)
        if not in_front and any(has_word(tag, trigger) for tag in parts.flexible):
            return True
    return False
