"""Pictures that are held back to measure on, chosen so that none of them is trained on in disguise.

A picture is held back if a number drawn from its own content says so. So adding or removing one moves no
other. Pictures that show the same thing (copies, crops of one source, near duplicates) go together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.diffusion.draws import Draw

# What cropping tools put behind the name of the source: a box, or a part of the body.
PARTS = "crop|cropped|face|head|upper|half|halfbody|person"
CROP_ENDING = re.compile(rf"(_\d+_\d+_\d+_\d+|[-_ ]({PARTS}))+$", re.IGNORECASE)
# With a number it may be the name of a series as well: it counts only where the source itself is there.
NUMBERED_CROP_ENDING = re.compile(rf"(_\d+_\d+_\d+_\d+|[-_ ]({PARTS})[-_ ]?\d*)+$", re.IGNORECASE)


@dataclass(frozen=True)
class HeldOut:
    """`training` keeps class pictures, which are never held back."""

    training: tuple[Item, ...]
    held_out: tuple[Item, ...]


def hold_out(
    items: Sequence[Item],
    share: float,
    seed: int,
    related: Iterable[tuple[str, str]] = (),
    earlier: Mapping[str, bool] | None = None,
) -> HeldOut:
    """Holds back about `share` of the training pictures.

    `related` are pairs of ids that show the same thing. `earlier` says by content what was held back (True)
    in a run that is being continued: those stay, and new pictures follow the group they belong to.
    """
    if share <= 0:
        return HeldOut(tuple(items), ())
    held: set[str] = set()
    for group in groups(items, related):
        if is_held(group, share, seed, earlier or {}):
            held |= {item.id for item in group}
    return HeldOut(
        tuple(item for item in items if item.is_class or item.id not in held),
        tuple(item for item in items if not item.is_class and item.id in held),
    )


def is_held(group: Sequence[Item], share: float, seed: int, earlier: Mapping[str, bool]) -> bool:
    """Whether a group is held back: as before where it was known, else by the least content in it."""
    known = [earlier[item.content] for item in group if item.content in earlier]
    if known:
        # What has once been trained on can no longer be measured on.
        return all(known)
    return Draw(seed, "held out", min(item.content for item in group)).uniform() < share


def groups(items: Sequence[Item], related: Iterable[tuple[str, str]] = ()) -> list[list[Item]]:
    """Training pictures that belong together, in the order of their first member."""
    training = [item for item in items if not item.is_class]
    leader = {item.id: item.id for item in training}

    def lead(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    pairs = list(related)
    seen: dict[str, str] = {}
    sources = {str(Path(item.path).with_suffix("")) for item in training}
    for item in training:
        for mark in (item.content, source_name(item, sources)):
            pairs.append((seen.setdefault(mark, item.id), item.id))
    for one, other in pairs:
        if one in leader and other in leader:
            leader[lead(other)] = lead(one)
    found: dict[str, list[Item]] = {}
    for item in training:
        found.setdefault(lead(item.id), []).append(item)
    return list(found.values())


def source_name(item: Item, sources: Collection[str] = ()) -> str:
    """The path, without its ending, of the picture that an item may be a crop of; else its own."""
    path = Path(item.path).with_suffix("")
    numbered = str(path.with_name(NUMBERED_CROP_ENDING.sub("", path.name) or path.name))
    if numbered in sources:
        return numbered
    return str(path.with_name(CROP_ENDING.sub("", path.name) or path.name))


def too_few(split: HeldOut, share: float) -> Finding | None:
    """A remark where chance held nothing back, or everything."""
    own = sum(1 for item in split.training if not item.is_class)
    if share <= 0 or (split.held_out and own):
        return None
    return Finding(
        "held-out-empty",
        "warning",
        (),
        f"Of {own + len(split.held_out)} pictures {len(split.held_out)} were held back for measuring.",
        "Nothing can be measured." if own else "Nothing is left to train on.",
        "Change the validation split or its seed, or name a folder of its own for measuring.",
    )
