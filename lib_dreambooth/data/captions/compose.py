"""From a caption as written to the words of one visit. The order of operations is kohya's; docs/captions.md.

`prepare` does what is the same every time and `compose` what is drawn. Both are pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lib_dreambooth.base.durations import to_steps
from lib_dreambooth.data.captions.choices import Choices, DrawnChoices, TooMany, Visit, every_outcome
from lib_dreambooth.data.captions.prompts import Naming, class_prompt, instance_prompt
from lib_dreambooth.data.captions.read import caption_lines
from lib_dreambooth.data.captions.tagtext import glue, split_tags, with_tags, without_tags
from lib_dreambooth.data.captions.templates import NO_WORDS, Wording, worded
from lib_dreambooth.data.captions.wildcards import resolve_wildcards
from lib_dreambooth.data.item import Item
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept

# Above this many the text cache is better filled epoch by epoch.
LIMIT = 64
SENTENCE_ENDS = tuple(".!?。！？")


@dataclass(frozen=True, slots=True)
class Line:
    """One of a picture's captions with tokens, prefix and suffix in place; `names` if it began with names.

    What is made of it comes into a `sentence`, or gets new `words` in front, after everything that is drawn.
    """

    text: str
    names: bool = False
    sentence: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """A caption's tags: those that stay in front, those that may move and drop, those that stay behind."""

    front: tuple[str, ...]
    flexible: tuple[str, ...]
    back: tuple[str, ...] = ()


def lines_of(
    item: Item, captions: Captions, concept: Concept, wording: Wording = NO_WORDS
) -> tuple[Line, ...]:
    """The lines that a visit of an item draws from."""
    if item.caption.origin == "drawn":
        return (Line(item.caption.text),)
    return prepare(item.caption.text, captions, concept, item.is_class, wording)


def prepare(
    text: str, captions: Captions, concept: Concept, is_class: bool = False, wording: Wording = NO_WORDS
) -> tuple[Line, ...]:
    """The lines that a visit draws from, at least one, each maybe empty."""
    sentences: tuple[str, ...]
    words: tuple[str, ...]
    if is_class:
        # What new words call is kept out of the class as a token is.
        make, template, sentences, words = class_prompt, concept.class_prompt, ("",), ()
        naming = Naming(concept.token or wording.name, concept.class_token)
    else:
        make, template, sentences, words = instance_prompt, concept.prompt, wording.sentences, wording.words
        naming = Naming(concept.token, concept.class_token)
    lines = []
    for raw in _chosen_lines(text, captions):
        left = with_tags(_pruned(raw, captions), captions.add, captions.separator)
        named = captions.shuffle_names and _names_at(left, captions) is not None
        filled = make(left, template, naming)
        whole = " ".join(part for part in (captions.prefix, filled, captions.suffix) if part.strip())
        lines += [Line(whole.strip(), named, sentence, words) for sentence in sentences or ("",)]
    return tuple(dict.fromkeys(lines))


def compose(lines: Sequence[Line], captions: Captions, choices: Choices) -> str:
    """The caption that one set of decisions gives."""
    # Both are asked for, so that the every-nth-epoch rule never moves the other's draw.
    dropped = choices.happens("dropout", captions.dropout)
    if choices.is_nth_epoch(captions.dropout_every) or dropped:
        return ""
    line = lines[choices.pick("line", len(lines))]
    text = line.text
    if captions.wildcards:
        text = resolve_wildcards(text, lambda count: choices.pick("wildcard", count))
    if line.names:
        text = _shuffled_names(text, captions, choices)
    if _needs_splitting(text, captions):
        text = _rejoined(split(text, captions, line.names), captions, choices)
    return worded(_without_secondary(text, captions), line.sentence, line.words)


def caption_for(lines: Sequence[Line], captions: Captions, visit: Visit) -> str:
    """What one visit trains on: a function of lines, settings and visit, whatever came before."""
    return compose(lines, captions, DrawnChoices(visit))


def possible_captions(lines: Sequence[Line], captions: Captions, limit: int = LIMIT) -> list[str] | None:
    """Every caption that a visit can draw, or None where there are more than `limit`."""
    if any(_shuffles_beyond(line, captions, limit) for line in lines):
        return None
    warms_up = not captions.token_warmup.is_never
    try:
        return every_outcome(lambda choices: compose(lines, captions, choices), limit, warms_up)
    except TooMany:
        return None


def is_fixed(captions: Captions) -> bool:
    """True where no operation draws, so that every visit of a picture has the same caption."""
    drawn = (
        captions.dropout,
        captions.dropout_every,
        captions.wildcards,
        captions.shuffle_names,
        captions.shuffle,
        captions.tag_dropout,
        captions.lines == "draw",
        not captions.token_warmup.is_never,
    )
    return not any(drawn)


def warmup_steps(captions: Captions, steps_per_epoch: int, total_steps: int | None) -> int:
    """How many steps the token warm-up takes; a share of a run without an end is none."""
    return to_steps(captions.token_warmup, steps_per_epoch, total_steps) or 0


def split(text: str, captions: Captions, names: bool = False) -> Parts:
    """A caption's tags by whether they may move."""
    separator, weights = captions.separator, captions.weights
    mark = captions.keep_separator
    if mark and mark in text:
        sections = text.split(mark, 2)
        front, flexible, *back = (tuple(split_tags(section, separator, weights)) for section in sections)
        return Parts(front, flexible, back[0] if back else ())
    tags = tuple(split_tags(text, separator, weights))
    kept = captions.keep_tokens
    if names:
        place = next((i for i, tag in enumerate(tags) if _names_in(tag, captions)), -1)
        kept = max(kept, place + 1)
    return Parts(tags[:kept], tags[kept:])


def names_of(line: Line, captions: Captions) -> list[str]:
    """The names that a line began with, in its own order; none where it began with anything else."""
    tags = split_tags(line.text, captions.separator) if line.names else []
    found = next((names for tag in tags if (names := _names_in(tag, captions))), [])
    return found[::2]


def _chosen_lines(text: str, captions: Captions) -> tuple[str, ...]:
    lines = caption_lines(text) or ("",)
    if captions.lines == "draw":
        return lines
    return (_joined(lines, captions.separator),) if captions.lines == "join" else lines[:1]


def _pruned(text: str, captions: Captions) -> str:
    """Without the tags to remove; a keep-tokens mark stays even where nothing is left beside it."""
    separators = (captions.separator, captions.secondary_separator)
    mark = captions.keep_separator
    sections = text.split(mark) if mark else [text]
    return mark.join(without_tags(section, captions.remove, separators) for section in sections)


def _joined(lines: Sequence[str], separator: str) -> str:
    """Lines as one; a sentence that is over, or a line that already ends with the separator, needs none."""
    text = lines[0]
    for line in lines[1:]:
        is_over = text.endswith(SENTENCE_ENDS) or text.endswith(separator.strip() or " ")
        text += (" " if is_over else glue(separator)) + line
    return text


def _needs_splitting(text: str, captions: Captions) -> bool:
    if captions.keep_separator and captions.keep_separator in text:
        return True
    return captions.shuffle or captions.tag_dropout > 0 or not captions.token_warmup.is_never


def _rejoined(parts: Parts, captions: Captions, choices: Choices) -> str:
    flexible = parts.flexible
    if not captions.token_warmup.is_never:
        # Before the shuffle: the tags that come first in the file are learned first.
        flexible = flexible[: choices.warm(len(flexible), captions.token_warmup_min)]
    if captions.tag_dropout > 0:
        # Asked tag by tag in the file's order, so that shuffling does not move these draws.
        flexible = tuple(tag for tag in flexible if not choices.happens("tag dropout", captions.tag_dropout))
    if captions.shuffle:
        flexible = tuple(flexible[i] for i in choices.order("shuffle", len(flexible)))
    between = ", " if captions.rejoin == "comma" else glue(captions.separator)
    return between.join((*parts.front, *flexible, *parts.back))


def _without_secondary(text: str, captions: Captions) -> str:
    mark = captions.secondary_separator
    if not mark or mark not in text:
        return text
    return glue(captions.separator).join(piece.strip() for piece in text.split(mark))


def _names_pattern(captions: Captions) -> re.Pattern[str]:
    """What stands between two names. A lone ASCII sign needs spaces: `A / B`, but not `w/o` or `a/b`."""
    sign = captions.names_separator.strip()
    space = r"\s+" if sign.isascii() else r"\s*"
    return re.compile(f"({space}{re.escape(sign)}{space})")


def _names_in(tag: str, captions: Captions) -> list[str] | None:
    """Names and, at the odd places, what stands between them; None where there are not several."""
    if not captions.names_separator.strip():
        return None
    pieces = _names_pattern(captions).split(tag.strip())
    return pieces if len(pieces) > 1 and all(pieces[::2]) else None


def _names_at(text: str, captions: Captions) -> list[str] | None:
    """The names that `text` begins with."""
    first = text.split(captions.separator)[0] if captions.separator else text
    if captions.keep_separator:
        first = first.split(captions.keep_separator)[0]
    return _names_in(first, captions)


def _shuffled_names(text: str, captions: Captions, choices: Choices) -> str:
    marks = "|".join(re.escape(mark) for mark in (captions.separator, captions.keep_separator) if mark)
    pieces = re.split(f"({marks})", text) if marks else [text]
    for i, piece in enumerate(pieces):
        found = _names_in(piece, captions)
        if found is not None:
            names = found[::2]
            found[::2] = [names[k] for k in choices.order("names", len(names))]
            space = piece[: len(piece) - len(piece.lstrip())]
            pieces[i] = space + "".join(found) + piece[len(piece.rstrip()) :]
            break
    return "".join(pieces)


def _shuffles_beyond(line: Line, captions: Captions, limit: int) -> bool:
    """Whether the order of tags alone gives more than `limit` captions: told without trying them."""
    if not captions.shuffle or captions.tag_dropout >= 1:
        return False
    count = len(set(split(line.text, captions, line.names).flexible))
    return math.factorial(min(count, 20)) > limit
