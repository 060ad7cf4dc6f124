"""Findings about pictures: size, shape, duplicates, borders, crops, blur. Pure functions of measures."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from lib_dreambooth.data.health.likeness import groups, similar_pairs
from lib_dreambooth.data.health.look import one_sided
from lib_dreambooth.data.health.measures import Fit, Measures
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.settings.length import plural

# Enlarging by more teaches blur.
MOST_UPSCALE = 1.25
# Below this the steepest edges are four pixels wide and more.
LEAST_SHARPNESS = 0.3
# Losing more of a picture than this is worth a look.
MOST_LOST = 0.2
# A shape is an outlier when it is this many times wider or taller than the set's middle.
OUTLIER_FACTOR = 2.0
ENOUGH_FOR_SHAPES = 5
# More of one kind than this share is the set's own way and no outlier.
FEW = 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture with what is known about it; parts that could not be told are None."""

    item: Item
    measures: Measures | None = None
    fit: Fit | None = None


def picture_findings(pictures: Sequence[Seen]) -> list[Finding]:
    """Everything that is wrong with the pictures themselves."""
    training = [seen for seen in pictures if not seen.item.is_class]
    return [
        *too_small(pictures),
        *flat(training),
        *exact_duplicates(pictures),
        *near_duplicates(pictures),
        *bars(training),
        *one_sided_crops(training),
        *cut_by_bucket(training),
        *shape_outliers(training),
        *blurred(training),
    ]


def too_small(pictures: Sequence[Seen]) -> list[Finding]:
    """Pictures that are enlarged far."""
    found = [seen for seen in pictures if is_too_small(seen)]
    if not found:
        return []
    worst = max(found, key=lambda seen: seen.fit.scale if seen.fit else 0)
    assert worst.fit is not None
    return [
        Finding(
            "too-small",
            "warning",
            paths(found),
            f"{count(found)} smaller than the training size: {name(worst)} is enlarged "
            f"{worst.fit.scale:.2f} times.",
            "Enlarged pictures teach softness and missing detail.",
            "Replace them by larger ones, enlarge them with a good upscaler, lower the resolution, or turn "
            "Enlarge Small Pictures off.",
        )
    ]


def flat(training: Sequence[Seen]) -> list[Finding]:
    """Training pictures of one colour; as class pictures they are in use and no fault."""
    found = [seen for seen in training if seen.measures is not None and seen.measures.is_flat]
    if not found:
        return []
    return [
        Finding(
            "flat-picture",
            "warning",
            paths(found),
            f"{count(found)} one flat colour.",
            "The trigger learns that colour.",
            "Take them out, or use them as class pictures if that is what they are for.",
        )
    ]


def exact_duplicates(pictures: Sequence[Seen]) -> list[Finding]:
    """Files with the same bytes."""
    by_content: dict[str, list[Seen]] = defaultdict(list)
    # One file may be in two concepts, for two resolutions.
    for seen in {seen.item.path: seen for seen in pictures}.values():
        if not (seen.item.is_class and _is_flat(seen)):
            by_content[seen.item.content].append(seen)
    return [
        _duplicates("duplicate", same, f"{len(same)} files are the same picture: {names(same)}.")
        for same in by_content.values()
        if len(same) > 1
    ]


def near_duplicates(pictures: Sequence[Seen]) -> list[Finding]:
    """Pictures that show the same thing: saved again, resized, slightly cut or mirrored."""
    once: dict[str, Seen] = {}
    for seen in pictures:
        if not _is_flat(seen):
            once.setdefault(seen.item.content, seen)
    distinct = [seen for seen in once.values() if seen.measures is not None]
    pairs = list(similar_pairs([seen.measures.likeness for seen in distinct if seen.measures]))
    mirrored = {frozenset((a, b)) for a, b, is_mirrored in pairs if is_mirrored}
    findings = []
    for group in groups((a, b) for a, b, _ in pairs):
        same = sorted((distinct[i] for i in group), key=worth, reverse=True)
        only_mirrored = len(group) == 2 and frozenset(group) in mirrored
        word = "mirror images" if only_mirrored else "nearly the same picture"
        code = "mirrored-duplicate" if only_mirrored else "near-duplicate"
        findings.append(_duplicates(code, same, f"{len(same)} files are {word}: {names(same)}."))
    return findings


def _duplicates(code: str, same: Sequence[Seen], what: str) -> Finding:
    if len({seen.item.is_class for seen in same}) == 2:
        return Finding(
            code,
            "warning",
            paths(same),
            what + " Some of them are class pictures.",
            "The model is told to learn the picture and to keep it as it was.",
            "Take it out of the class pictures.",
        )
    if code == "mirrored-duplicate":
        effect = "One-sided features such as a parting get lost, as with flipping."
        todo = "Keep one of them unless the subject looks the same in a mirror."
        return Finding(code, "note", paths(same), what, effect, todo)
    return Finding(
        code,
        "warning",
        paths(same),
        what,
        f"It is seen {len(same)} times as often as the others and is copied instead of understood.",
        f"Keep the best of them, {name(same[0])}, or raise the repeats of the others instead.",
    )


def worth(seen: Seen) -> tuple[int, float]:
    """What makes one of several copies the one to keep: its size, then how sharp it is."""
    sharpness = seen.measures.sharpness if seen.measures is not None else None
    return area(seen), sharpness or 0.0


def bars(training: Sequence[Seen]) -> list[Finding]:
    """Letterbox bars and frames."""
    found = [seen for seen in training if seen.measures is not None and any(seen.measures.bars)]
    if not found:
        return []
    return [
        Finding(
            "flat-border",
            "warning",
            paths(found),
            f"{len(found)} {plural(len(found), 'picture has', 'pictures have')} bars or a frame of one "
            "colour around the content.",
            "The bars are learned and come back in generated pictures.",
            "Cut them off.",
        )
    ]


def one_sided_crops(training: Sequence[Seen]) -> list[Finding]:
    """Figures cut off at one side, as far as a plain ground shows it."""
    by_side: dict[str, list[Seen]] = defaultdict(list)
    for seen in training:
        figure = seen.measures.figure if seen.measures else None
        side = one_sided(figure) if figure else None
        if side:
            by_side[side].append(seen)
    return [
        Finding(
            "one-sided-crop",
            "warning" if len(found) * 3 >= len(training) > 3 else "note",
            paths(found),
            f"In {len(found)} of {len(training)} pictures the figure is cut off at the {side} edge.",
            "Where such crops are many, generated figures stand at that edge and are cut off too.",
            "Cut the pictures so that the figure is whole or in the middle, or say so in the caption "
            "(cropped, head out of frame).",
        )
        for side, found in sorted(by_side.items())
    ]


def cut_by_bucket(training: Sequence[Seen]) -> list[Finding]:
    """Pictures that lose a good part to the shape of their bucket."""
    found = [seen for seen in training if seen.fit is not None and seen.fit.lost_area > MOST_LOST]
    if not found:
        return []
    worst = max(found, key=lambda seen: seen.fit.lost_area if seen.fit else 0)
    assert worst.fit is not None
    left, top, right, bottom = worst.fit.lost
    where = "left and right" if left + right > top + bottom else "above and below"
    return [
        Finding(
            "cut-by-bucket",
            "warning",
            paths(found),
            f"{count(found)} cut to fit a bucket by more than {MOST_LOST:.0%}; {name(worst)} loses "
            f"{worst.fit.lost_area:.0%}, {where}.",
            "What is cut off is not learned, though its caption may name it.",
            "Cut these pictures yourself, turn buckets on, or allow longer bucket sides.",
        )
    ]


def shape_outliers(training: Sequence[Seen]) -> list[Finding]:
    """Pictures far wider or taller than the rest."""
    if len(training) < ENOUGH_FOR_SHAPES:
        return []
    shapes = [math.log2(seen.item.size[0] / seen.item.size[1]) for seen in training]
    middle = statistics.median(shapes)
    limit = math.log2(OUTLIER_FACTOR) - 1e-9
    sides: tuple[list[Seen], list[Seen]] = ([], [])
    for seen, shape in zip(training, shapes, strict=True):
        if abs(shape - middle) >= limit:
            sides[shape > middle].append(seen)
    # Where many are wide, wide is one of the set's own shapes.
    found = [seen for side in sides if len(side) <= max(1, len(training) * FEW) for seen in side]
    if not found:
        return []
    return [
        Finding(
            "shape-outlier",
            "note",
            paths(found),
            f"{count(found)} much wider or taller than the rest of the set.",
            "Each goes into a bucket of its own and is learned mostly from batches of one.",
            "Nothing has to be done; cutting them closer to the others' shape makes batches fuller.",
        )
    ]


def blurred(training: Sequence[Seen]) -> list[Finding]:
    """Pictures without one sharp edge; those that are too small are blurred anyway and named there."""
    found = [
        seen
        for seen in training
        if seen.measures is not None
        and seen.measures.sharpness is not None
        and seen.measures.sharpness < LEAST_SHARPNESS
        and not is_too_small(seen)
    ]
    if not found:
        return []
    return [
        Finding(
            "blurred",
            "warning",
            paths(found),
            f"{count(found)} blurred: even the sharpest edges are several pixels wide.",
            "The model learns softness as part of the subject.",
            "Replace them by sharp ones, or use them at a lower resolution.",
        )
    ]


def is_too_small(seen: Seen) -> bool:
    """Whether the picture is enlarged by more than is good."""
    return seen.fit is not None and seen.fit.scale > MOST_UPSCALE


def paths(pictures: Sequence[Seen]) -> tuple[str, ...]:
    """The files of some pictures."""
    return tuple(seen.item.path for seen in pictures)


def name(seen: Seen) -> str:
    """A picture's file name in quotes."""
    return f"`{PurePath(seen.item.path).name}`"


def names(pictures: Sequence[Seen], most: int = 4) -> str:
    """Some file names, the rest counted."""
    shown = ", ".join(name(seen) for seen in pictures[:most])
    rest = len(pictures) - most
    return shown if rest <= 0 else f"{shown} and {rest} more"


def count(pictures: Sequence[Seen]) -> str:
    """The beginning of a sentence about some pictures."""
    return "1 picture is" if len(pictures) == 1 else f"{len(pictures)} pictures are"


def area(seen: Seen) -> int:
    """Pixels in all."""
    return seen.item.size[0] * seen.item.size[1]


def _is_flat(seen: Seen) -> bool:
    return seen.measures is not None and seen.measures.is_flat
