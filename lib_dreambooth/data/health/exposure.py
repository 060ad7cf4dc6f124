"""How often each trigger is seen, alone and with others, and how the figures are framed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from lib_dreambooth.data.captions.compose import names_of
from lib_dreambooth.data.captions.words import has_word
from lib_dreambooth.data.health.captions import Captioned, implied_triggers
from lib_dreambooth.data.item import Finding

# A trigger seen this many times less than another falls behind.
IMBALANCE = 4.0
# One framing in at least this share of what can be told, and enough pictures to say so.
ONE_FRAMING, ENOUGH_FRAMED = 0.9, 8

FRAMING_WORDS = {
    "full": "the whole figure",
    "half": "the upper half",
    "head": "the head",
    "back": "the back",
}


@dataclass(frozen=True, slots=True)
class Exposure:
    """Pictures with one trigger, or with several together, and their visits in one epoch."""

    triggers: tuple[str, ...]
    pictures: int
    visits: int

    def to_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {"triggers": list(self.triggers), "pictures": self.pictures, "visits": self.visits}


def triggers_of(training: Sequence[Captioned]) -> list[str]:
    """Every trigger: tokens of concepts, what whole folders begin with, and names that are shuffled."""
    found = dict.fromkeys(one.concept.token.strip() for one in training)
    found |= dict.fromkeys(implied_triggers([one for one in training if not names_of_all(one)]).values())
    for one in training:
        found |= dict.fromkeys(names_of_all(one))
    return [trigger for trigger in found if trigger]


def names_of_all(one: Captioned) -> list[str]:
    """The names that a picture's captions begin with and whose order is drawn."""
    return [name for line in one.lines for name in names_of(line, one.captions)]


def exposures(
    training: Sequence[Captioned], triggers: Sequence[str]
) -> tuple[list[Exposure], list[Exposure]]:
    """Pictures and visits per trigger and per pair that occurs together; a picture of both is in each."""
    pictures: Counter[tuple[str, ...]] = Counter()
    visits: Counter[tuple[str, ...]] = Counter()
    for one in training:
        present = [t for t in triggers if any(has_word(line.text, t) for line in one.lines)]
        for key in [*((t,) for t in present), *combinations(present, 2)]:
            pictures[key] += 1
            visits[key] += one.item.repeats
    single = [Exposure((t,), pictures[(t,)], visits[(t,)]) for t in triggers]
    pairs = [Exposure(key, n, visits[key]) for key, n in pictures.items() if len(key) == 2]
    return single, sorted(pairs, key=lambda pair: (-pair.pictures, pair.triggers))


def exposure_findings(single: Sequence[Exposure]) -> list[Finding]:
    """Triggers that are seen far less often than the most seen one."""
    most = max((one.visits for one in single), default=0)
    found = [one for one in single if one.visits and most >= IMBALANCE * one.visits]
    return [
        Finding(
            "trigger-imbalance",
            "note",
            (),
            f"`{one.triggers[0]}` is seen {one.visits} times an epoch, another trigger {most} times.",
            "It is learned more slowly; by the time it is, the other may be overdone.",
            f"Give its pictures about {round(most / one.visits)} times the repeats.",
        )
        for one in found
    ]


def framing_findings(framings: Mapping[str, str]) -> list[Finding]:
    """A set that nearly always shows the same part of the figure."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path, framing in framings.items():
        groups[framing].append(path)
    return [
        Finding(
            "one-framing",
            "note",
            tuple(paths),
            f"{len(paths)} of {len(framings)} pictures whose framing is known show {FRAMING_WORDS[framing]}.",
            "Other framings are drawn badly, or this one comes whatever the prompt says.",
            "Add some of the others.",
        )
        for framing, paths in sorted(groups.items())
        if len(framings) >= ENOUGH_FRAMED and len(paths) >= ONE_FRAMING * len(framings)
    ]


def framing_table(framings: Mapping[str, str], pictures: Iterable[str]) -> dict[str, int]:
    """Pictures by framing, with those that cannot be told."""
    counts = Counter(framings.get(path, "unknown") for path in pictures)
    return {framing: counts[framing] for framing in (*FRAMING_WORDS, "unknown") if counts[framing]}
