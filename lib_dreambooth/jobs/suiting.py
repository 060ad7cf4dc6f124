"""Settings suited to a card of some size, without changing what is learned where that is possible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.data.tags.places import data_folder
from lib_dreambooth.forecast.forecast import Numbers
from lib_dreambooth.forecast.kept import Kept
from lib_dreambooth.forecast.offering import Offer
from lib_dreambooth.forecast.rehearsal import Manner
from lib_dreambooth.jobs.bases import bytes_at
from lib_dreambooth.jobs.completing import kind_of_base
from lib_dreambooth.jobs.memory import Target, Told, preview_size, told_of
from lib_dreambooth.models.families import native_side
from lib_dreambooth.settings.compare import Change, differences
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.deciding import decided
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import FORECAST, Sourced
from lib_dreambooth.training.precision.devices import Ability

GIB = 1 << 30
CARDS_GIB = (6, 8, 10, 12, 16, 24)
# The driver's own part of a card and a desktop's: a guess, of Windows with a browser open.
NOT_OURS = round(0.8 * GIB)
# A card that is not here is taken for one of the RTX 30 series or younger.
USUAL_CARD = Ability("cuda", generation=8, has_half=True)
AUTO = "auto"
# What the forecast decides, and what each is before it does.
OPEN: Mapping[str, Any] = {
    "memory.checkpointing": AUTO,
    "memory.fused_backward": AUTO,
    "memory.gradients": AUTO,
    "memory.optimizer_state": AUTO,
    "memory.unload": AUTO,
    "memory.pieces": 0,
}
# So many changes of what is learned one after the other, at most.
MOST_CHANGES = 4


@dataclass(frozen=True)
class Suiting:
    """Settings that suit a card.

    `changes` are all differences from what was asked about; `learned` are those of them that change what is
    learned, each with what it costs. `told` is the forecast of the result, with the room and whether it fits;
    its `offers` are further changes of what is learned that would fit, where it does not.
    """

    sourced: Sourced
    changes: tuple[Change, ...]
    learned: tuple[Offer, ...]
    told: Told

    @property
    def fits(self) -> bool:
        return bool(self.told.fits)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "changes": {one.path: plain(one.after) for one in self.changes},
            "learned": [one.to_json() for one in self.learned],
            "forecast": self.told.to_json(),
        }


def room_of_card(gib: float) -> int:
    """Bytes that a run could have of a card that is sold as one of so many GB."""
    return max(0, round(gib * GIB) - NOT_OURS)


def suited(
    sourced: Sourced,
    room: int,
    *,
    ability: Ability = USUAL_CARD,
    may_change: bool = False,
    kept: Kept | None = None,
    numbers: Numbers | None = None,
) -> Suiting:
    """The settings with the fastest way to take their steps in `room` bytes of a card.

    The card need not be here, and pictures need not be chosen (`numbers_without`); the base has to be.
    What is learned stays as it is, unless it `may_change` where nothing fits otherwise: then the offer that
    changes least is taken, and the next one where that does not suffice. Raises UserError.
    """
    kept = kept or Kept(data_folder())
    kind = kind_of_base(Path(sourced.run.model.base))
    given = sourced
    sourced = update(sourced, OPEN, FORECAST)
    target = Target("cuda", ability, room)
    learned: list[Offer] = []
    while True:
        whole = decided(sourced, native_side=native_side(kind), seed=0)
        of_it = numbers or numbers_without(whole.run)
        told = told_of(whole.run, kind, of_it, target, kept)
        if told.fits or not may_change or not told.offers or len(learned) == MOST_CHANGES:
            break
        learned.append(told.offers[0])
        sourced = update(sourced, told.offers[0].to_json()["changes"], FORECAST)
    found = changes_for(sourced.run, told.forecast.manner)
    if told.drawing.size_wh is not None:
        found["previews.size"] = "{}x{}".format(*told.drawing.size_wh)
    sourced = update(sourced, found, FORECAST)
    return Suiting(sourced, tuple(differences(given.run, sourced.run)), tuple(learned), told)


def changes_for(run: Run, manner: Manner) -> dict[str, Any]:
    """The settings that say what a forecast has chosen."""
    found: dict[str, Any] = {"memory.checkpointing": manner.level}
    if manner.pieces > 1:
        found["memory.pieces"] = manner.pieces
    if manner.is_alone:
        found["memory.unload"] = "on"
    if not is_adapter(run):
        found["memory.fused_backward"] = "on" if manner.is_fused else "off"
        found["memory.optimizer_state"] = "system" if manner.is_state_away else "card"
        if run.length.accumulation > 1:
            found["memory.gradients"] = "system" if manner.is_in_system else "card"
    return found


def numbers_without(run: Run) -> Numbers:
    """What counts where no pictures were chosen yet: one of the resolution that the settings name."""
    size = run.pictures.resolution
    return Numbers(
        size_wh=(size.width, size.height),
        preview_wh=preview_size(run),
        num_items=1,
        num_captions=1,
        num_drawn=1,
        file_bytes=bytes_at(Path(run.model.base)),
    )
