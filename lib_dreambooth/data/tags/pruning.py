"""Which tags of a folder might better go, each with its reason. Proposals only: nothing is changed here.

A tag that stays in the captions stays a switch: what it names comes when it is asked for. A tag that is taken
out makes what it named part of the trigger.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from lib_dreambooth.data.captions.tagtext import split_tags, tag_key
from lib_dreambooth.data.tags.edits import RemoveTags
from lib_dreambooth.data.tags.vocabulary import CLOTHES_BINDERS, META, QUALITY, kind_of

Reason = Literal["trait", "clothes", "meta", "quality", "general", "once"]
# A character's own trait is there in at least this share of all pictures, chance allowed for.
TRAIT_SHARE = 0.35
# One-sided 95 %.
Z = 1.645
# In fewer captions, "only once" says nothing.
ENOUGH_FOR_ONCE = 20

WHY: dict[Reason, str] = {
    "trait": "It describes the character in most pictures. Taken out, the trigger alone calls it; left in, "
    "the prompt can change it.",
    "clothes": "Nearly every prompt has it, so what it learns always comes, the clothes above all.",
    "meta": "It describes the file or the site and not the picture.",
    "quality": "It is meant for prompts. Left in, the set's look moves into the word.",
    "general": "A more exact tag says the same wherever it stands.",
    "once": "It stands in one caption only and will hardly be learned; a tagger's slip is likely.",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A tag that might be removed: how often it occurs, why, and whether we would do it unasked.

    `count` of `total` captions; `by` is the more exact tag, for the reason "general".
    """

    tag: str
    count: int
    total: int
    reason: Reason
    is_recommended: bool
    by: str = ""

    @property
    def why(self) -> str:
        """The reason as a sentence."""
        return WHY[self.reason]


def propose_pruning(
    captions: Mapping[str, str], triggers: Collection[str] = (), separator: str = ","
) -> list[Proposal]:
    """Proposals for one folder's captions (by path), the most frequent first; never a trigger."""
    rows = [
        frozenset(map(tag_key, split_tags(" ".join(t.splitlines()), separator))) for t in captions.values()
    ]
    rows = [row for row in rows if row]
    counts = Counter(key for row in rows for key in row)
    for trigger in triggers:
        counts.pop(tag_key(trigger), None)
    proposals = [
        proposal
        for key, count in counts.items()
        if (proposal := _proposal(key, count, rows, counts)) is not None
    ]
    return sorted(proposals, key=lambda proposal: (-proposal.count, proposal.tag))


def propose_by_folder(
    captions: Mapping[str, str], triggers: Collection[str] = (), separator: str = ","
) -> dict[str, list[Proposal]]:
    """Proposals for each folder that the caption files lie in; folders without any are left out."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for path, text in captions.items():
        folders[str(PurePath(path).parent)][path] = text
    found = {folder: propose_pruning(texts, triggers, separator) for folder, texts in folders.items()}
    return {folder: proposals for folder, proposals in found.items() if proposals}


def as_edit(proposals: Collection[Proposal], separator: str = ",") -> RemoveTags:
    """The edit that does what is proposed."""
    return RemoveTags(tuple(proposal.tag for proposal in proposals), separator=separator)


def lower_bound(count: int, total: int) -> float:
    """The share that a count of some total shows with 95 % certainty (Wilson's score interval)."""
    if total == 0:
        return 0.0
    share = count / total
    spread = Z * math.sqrt(share * (1 - share) / total + Z * Z / (4 * total * total))
    return max(0.0, (share + Z * Z / (2 * total) - spread) / (1 + Z * Z / total))


def _proposal(key: str, count: int, rows: list[frozenset[str]], counts: Counter[str]) -> Proposal | None:
    total = len(rows)
    kind = kind_of(key)
    if key in META or key in QUALITY:
        return Proposal(key, count, total, "meta" if key in META else "quality", True)
    if key in CLOTHES_BINDERS:
        return Proposal(key, count, total, "clothes", lower_bound(count, total) >= TRAIT_SHARE)
    by = _more_exact(key, rows, counts)
    if by:
        return Proposal(key, count, total, "general", True, by)
    if kind == "body" and lower_bound(count, total) >= TRAIT_SHARE:
        return Proposal(key, count, total, "trait", True)
    if count == 1 and total >= ENOUGH_FOR_ONCE:
        return Proposal(key, count, total, "once", False)
    return None


def _more_exact(key: str, rows: list[frozenset[str]], counts: Counter[str]) -> str:
    """A tag ending in `key` that stands in every caption that has it: `witch hat` for `hat`."""
    longer = [other for other in counts if other.endswith(" " + key)]
    for other in sorted(longer, key=lambda other: (-counts[other], other)):
        if counts[other] >= counts[key] and all(other in row for row in rows if key in row):
            return other
    return ""
