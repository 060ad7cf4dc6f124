"""How often each tag occurs, and what its frequency will do to training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.data.captions.tagtext import tag_key
from lib_dreambooth.data.captions.words import has_word
from lib_dreambooth.data.health.captions import (
    Captioned,
    by_concept,
    folder_of,
    implied_triggers,
    style_of,
)
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.tags.vocabulary import CLOTHES_BINDERS, STATES, framing_of, kind_of

# In fewer captions a tag that is always there says little.
ENOUGH = 5
ALWAYS = 0.95
# A state in at most this share of at least so many captions is a stray.
RARE, ENOUGH_FOR_RARE = 0.05, 8


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag of one concept: in how many of its captions, and what kind of tag it is."""

    concept: int
    tag: str
    count: int
    total: int
    kind: str

    def to_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "concept": self.concept,
            "tag": self.tag,
            "count": self.count,
            "total": self.total,
            "kind": self.kind,
        }


def tag_table(training: Sequence[Captioned]) -> list[TagCount]:
    """The tags of each concept, the most frequent first; captions that are sentences have none."""
    table = []
    for concept, group in sorted(by_concept(training).items()):
        tagged = _tagged(group)
        counts = Counter(key for one in tagged for key in one.keys)
        rows = [TagCount(concept, tag, n, len(tagged), kind_of(tag)) for tag, n in counts.items()]
        table += sorted(rows, key=lambda row: (-row.count, row.tag))
    return table


def tag_findings(training: Sequence[Captioned]) -> list[Finding]:
    """Tags that are always there, nearly unique, or known to hold on to clothes."""
    findings = []
    implied = implied_triggers(training)
    for group in by_concept(training).values():
        tagged = _tagged(group)
        holders: dict[str, list[Captioned]] = defaultdict(list)
        for one in tagged:
            for key in one.keys - {tag_key(removed) for removed in one.captions.remove}:
                if not is_trigger(key, one, implied.get(folder_of(one), "")):
                    holders[key].append(one)
        findings += _binders(holders, len(tagged))
        findings += _always(holders, len(tagged))
        findings += _strays(holders, len(tagged))
    return findings


def is_trigger(key: str, one: Captioned, implied: str = "") -> bool:
    """Whether a tag says the concept's trigger, the one that its captions imply, or its class."""
    words = (one.concept.token, one.concept.class_token, tag_key(implied))
    return any(word.strip() and has_word(key, tag_key(word)) for word in words)


def _tagged(group: Sequence[Captioned]) -> list[Captioned]:
    with_captions = [one for one in group if one.uses_caption and one.is_written and one.keys]
    separators = {one.captions.separator for one in with_captions}
    if len(separators) > 1:
        return with_captions
    return [
        one for one in with_captions if style_of(one.item.caption.text, one.captions.separator) != "sentence"
    ]


def _binders(holders: dict[str, list[Captioned]], total: int) -> list[Finding]:
    found = sorted(key for key, held in holders.items() if key in CLOTHES_BINDERS and len(held) * 2 >= total)
    if not found or total < ENOUGH:
        return []
    return [
        Finding(
            "clothes-binding-tags",
            "note",
            tuple(one.item.path for one in holders[found[0]]),
            f"Most captions have {_quoted(found)}.",
            "Nearly every prompt has these too, so the set's clothes come with them and are hard to change.",
            "Remove them from the captions of a character (Tags to Remove).",
        )
    ]


def _always(holders: dict[str, list[Captioned]], total: int) -> list[Finding]:
    if total < ENOUGH:
        return []
    found = sorted(
        key for key, held in holders.items() if len(held) >= ALWAYS * total and key not in CLOTHES_BINDERS
    )
    if not found:
        return []
    return [
        Finding(
            "always-present-tags",
            "note",
            (),
            f"{_quoted(found)}: in nearly all {total} captions.",
            "Each of them learns a share of the subject; leaving one out of the prompt loses that share.",
            "Remove those that belong to the subject and are meant to come with the trigger alone.",
        )
    ]


def _strays(holders: dict[str, list[Captioned]], total: int) -> list[Finding]:
    if total < ENOUGH_FOR_RARE:
        return []
    return [
        Finding(
            "stray-state",
            "warning",
            tuple(one.item.path for one in held),
            f"Only {len(held)} of {total} captions have `{key}`.",
            "One such picture can put it into all of them: one with closed eyes closes all eyes.",
            "Check that its caption says so, add more of the kind, or take it out.",
        )
        for key, held in sorted(holders.items())
        if key in STATES and len(held) <= max(1, RARE * total)
    ]


def framings(training: Sequence[Captioned]) -> dict[str, str]:
    """How much of the figure each picture shows, by path, where its tags say so."""
    found = {one.item.path: framing_of(one.keys) for one in training}
    return {path: framing for path, framing in found.items() if framing is not None}


def _quoted(tags: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(f"`{tag}`" for tag in tags[:most])
    return shown if len(tags) <= most else f"{shown} and {len(tags) - most} more"
