"""What every picture will be trained on, with token counts and what is cut off, for page and command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.data.captions.choices import Visit
from lib_dreambooth.data.captions.compose import Line, caption_for, lines_of, possible_captions, warmup_steps
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.settings.length import plural
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept

# Tokens of a text without its start and end.
CountTokens = Callable[[str], int]
# The captions section and the concept that hold for an item.
SettingsOf = Callable[[Item], tuple[Captions, Concept]]

# So many different captions are shown; a shuffle of ten tags has millions.
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Shown:
    """One caption as the text encoder gets it. `lost` is the end that is cut off, "" where all fits."""

    text: str
    tokens: int
    lost: str = ""


@dataclass(frozen=True, slots=True)
class CaptionPreview:
    """What one picture is trained on.

    `is_complete` says that `captions` are all there can be; otherwise they are those of its first visits.
    """

    item: str
    path: str
    is_class: bool
    source: str
    captions: tuple[Shown, ...]
    is_complete: bool

    def to_json(self) -> dict[str, Any]:
        """The form that `--json` and the page print."""
        return {
            "path": self.path,
            "is_class": self.is_class,
            "source": self.source,
            "is_complete": self.is_complete,
            "captions": [{"text": s.text, "tokens": s.tokens, "lost": s.lost} for s in self.captions],
        }


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the run is, as far as captions depend on it; the defaults are a run without a warm-up."""

    seed: int = 0
    steps_per_epoch: int = 1
    total_steps: int | None = None


def preview(
    items: Iterable[Item],
    settings_of: SettingsOf,
    count_tokens: CountTokens,
    pace: Pace | None = None,
) -> Iterator[CaptionPreview]:
    """The captions of each item in turn, made by the code that training uses."""
    pace = pace or Pace()
    for item in items:
        captions, concept = settings_of(item)
        lines = lines_of(item, captions, concept)
        texts = possible_captions(lines, captions, SHOWN)
        is_complete = texts is not None
        if texts is None:
            texts = first_visits(item, lines, captions, pace)
        shown = tuple(measure(text, count_tokens, int(captions.max_tokens)) for text in texts)
        yield CaptionPreview(
            item.id, item.path, item.is_class, item.caption.source or item.caption.origin, shown, is_complete
        )


def first_visits(
    item: Item, lines: Sequence[Line], captions: Captions, pace: Pace, count: int = 3
) -> list[str]:
    """The captions of an item's first visits, in the order in which they come."""
    length = warmup_steps(captions, pace.steps_per_epoch, pace.total_steps)
    found = []
    for number in range(count):
        # Where in its epoch a visit falls is the plan's business; the epoch's first step stands for it.
        epoch = number // item.repeats
        visit = Visit(pace.seed, item.id, number, epoch, epoch * pace.steps_per_epoch, length)
        found.append(caption_for(lines, captions, visit))
    return list(dict.fromkeys(found))


def measure(text: str, count_tokens: CountTokens, limit: int) -> Shown:
    """A caption with its tokens and what of it lies behind the limit."""
    tokens = count_tokens(text)
    return Shown(text, tokens, "" if tokens <= limit else text[cut_at(text, count_tokens, limit) :])


def cut_at(text: str, count_tokens: CountTokens, limit: int) -> int:
    """Where the last word that fits wholly into `limit` tokens ends."""
    ends = [i for i in range(1, len(text)) if _may_end(text, i)]
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if count_tokens(text[: ends[middle]]) <= limit:
            low = middle + 1
        else:
            high = middle
    return ends[low - 1] if low else 0


def _may_end(text: str, place: int) -> bool:
    # From U+2E80 on are scripts without spaces: every character may be the last.
    return text[place].isspace() or "," in text[place - 1 : place + 1] or text[place] >= "\u2e80"


def cut_findings(previews: Iterable[CaptionPreview]) -> list[Finding]:
    """One finding that names every picture whose caption is too long."""
    cut = [shown for shown in previews if any(caption.lost for caption in shown.captions)]
    if not cut:
        return []
    longest = max(caption.tokens for shown in cut for caption in shown.captions)
    return [
        Finding(
            "caption-cut",
            "warning",
            tuple(shown.path for shown in cut),
            f"{len(cut)} {plural(len(cut), 'caption is', 'captions are')} longer than the token limit; "
            f"the longest has {longest} tokens.",
            "What lies behind the limit is not learned by name and becomes part of the subject.",
            "Raise Max Token Length or shorten these captions.",
        )
    ]
