"""What a tagger is, and which of its tags go into a caption."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from lib_dreambooth.data.captions.tagtext import tag_key
from lib_dreambooth.data.tags.spelling import PLAIN, Spelling

# The WebUI writes "tag", "(tag:0.98)" and "rating:safe".
SCORED = re.compile(r"\((?P<tag>.+):(?P<score>\d*\.?\d+)\)")


@dataclass(frozen=True, slots=True)
class TagScores:
    """How sure a tagger is of each tag, 0 to 1."""

    general: Mapping[str, float] = field(default_factory=dict)
    character: Mapping[str, float] = field(default_factory=dict)
    rating: Mapping[str, float] = field(default_factory=dict)


class Tagger(Protocol):
    """Gives scores to pictures, one result for each, in their order."""

    @property
    def name(self) -> str:
        """What it is called in the journal."""

    @property
    def batch_size(self) -> int:
        """How many pictures it can take at once."""

    def score(self, pictures: Sequence[Image.Image]) -> list[TagScores]:
        """The scores of some pictures."""


@dataclass(frozen=True)
class TagChoice:
    """Which tags are written. A character's own tag is off by default: its name would be trained twice."""

    threshold: float = 0.35
    character_threshold: float = 0.85
    with_characters: bool = False
    with_rating: bool = False
    front: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int = 0
    spelling: Spelling = PLAIN


def choose_tags(scores: TagScores, choice: TagChoice) -> list[str]:
    """Tags for a caption: those to put in front, characters, the rating, then the rest, the surest first."""
    characters = _above(scores.character, choice.character_threshold) if choice.with_characters else []
    rating = _above(scores.rating, 0.0)[:1] if choice.with_rating else []
    found = characters + rating + _above(scores.general, choice.threshold)
    excluded = {tag_key(tag) for tag in choice.exclude}
    in_front = {tag_key(tag) for tag in choice.front}
    chosen = [choice.spelling(tag) for tag in found if tag_key(tag) not in excluded | in_front]
    tags = [*choice.front, *dict.fromkeys(chosen)]
    return tags[: choice.limit] if choice.limit else tags


@dataclass(frozen=True)
class CallableTagger:
    """A tagger that somebody else brings: the WebUI's DeepBooru, asked for one picture at a time."""

    name: str
    score_one: Callable[[Image.Image], TagScores | Mapping[str, float] | str]
    batch_size: int = 1

    def score(self, pictures: Sequence[Image.Image]) -> list[TagScores]:
        return [_as_scores(self.score_one(picture)) for picture in pictures]


def scores_from_text(text: str) -> TagScores:
    """Scores out of the text that the WebUI's DeepBooru gives; a tag without a number counts as certain."""
    general, rating = {}, {}
    for part in text.split(","):
        match = SCORED.fullmatch(part.strip())
        tag, score = (match["tag"], float(match["score"])) if match else (part.strip(), 1.0)
        tag = tag.replace("\\", "").strip()
        if tag.startswith("rating:"):
            rating[tag.removeprefix("rating:")] = score
        elif tag:
            general[tag] = score
    return TagScores(general=general, rating=rating)


def _as_scores(found: TagScores | Mapping[str, float] | str) -> TagScores:
    if isinstance(found, TagScores):
        return found
    return scores_from_text(found) if isinstance(found, str) else TagScores(general=dict(found))


def _above(scores: Mapping[str, float], threshold: float) -> list[str]:
    sure = [tag for tag, score in scores.items() if score >= threshold]
    return sorted(sure, key=lambda tag: (-scores[tag], tag))
