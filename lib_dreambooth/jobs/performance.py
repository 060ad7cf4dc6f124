"""The Performance wizard: the fast settings of a card, and what else would be fast or fit at a cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import Host
from lib_dreambooth.forecast.forecast import Numbers
from lib_dreambooth.forecast.offering import Offer
from lib_dreambooth.jobs.memory import numbers_of
from lib_dreambooth.jobs.orders import device_of, plan_new
from lib_dreambooth.jobs.suiting import CARDS_GIB, USUAL_CARD, Suiting, room_of_card, suited
from lib_dreambooth.settings.compare import Change, differences
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import FORECAST, Sourced
from lib_dreambooth.training.precision.devices import ability_of, choose_device, room_on

AUTO = "auto"
# What none learns anything else from, as it is fastest or finds out by itself.
FAST: Mapping[str, Any] = {
    "memory.attention": AUTO,
    "memory.cache_latents": AUTO,
    "memory.cache_text": AUTO,
    "memory.workers": -1,
    "memory.set_to_none": True,
    "memory.compile": AUTO,
    "memory.joined": AUTO,
    "memory.lean": AUTO,
    "memory.one_call": AUTO,
    "memory.channels_last": AUTO,
}
# Fast ones that round otherwise, each with what it costs.
ROUNDED = (
    ("precision.mixed", "no", AUTO, "half precision: about twice as fast, rounded more coarsely"),
    ("precision.tf32", False, True, "TF32 where fp32 is left: faster, rounded more coarsely"),
)  # fmt: skip
# What a card is taken for where there is none.
USUAL_GIB = 8


@dataclass(frozen=True)
class Performance:
    """Settings for a card of `card` GiB, 0 for the one that is here, of which a run finds `here` bytes.

    `changes` are all differences from what was given, `rounded` what is faster and rounds otherwise.
    """

    suiting: Suiting
    changes: tuple[Change, ...]
    rounded: tuple[Offer, ...]
    card: float
    here: int | None

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        told = self.suiting.told
        offers = [one.to_json() for one in (*told.offers, *self.rounded)]
        return {
            "changes": [one.to_json() for one in self.changes],
            "offers": offers,
            "card": self.card,
            "cards": list(CARDS_GIB),
            "here": self.here,
            "room": told.room,
            "peak": told.forecast.bytes,
            "fits": told.fits,
        }


def performance(
    host: Host, name: str, sourced: Sourced, wanted: Mapping[str, Any], card_gib: float = 0
) -> Performance:
    """The settings with what is fast on a card, and with what is `wanted` of the offers; raises UserError."""
    if card_gib < 0:
        raise UserError("is no size of a card.", where="card", todo="Choose one of the list.")
    if not sourced.run.model.base.strip():
        raise UserError(
            "no checkpoint is chosen yet.", where="model.base", todo="Choose the one to train from."
        )
    here = room_here(host)
    if not card_gib and here is None:
        card_gib = USUAL_GIB
    ability, room = USUAL_CARD, room_of_card(card_gib)
    if not card_gib and here is not None:
        ability, room = ability_of(choose_device(device_of(host) or AUTO)), here
    changed = update(sourced, {**FAST, **wanted}, FORECAST)
    found = suited(changed, room, ability=ability, numbers=numbers_for(host, name, changed))
    changes = tuple(differences(sourced.run, found.sourced.run))
    return Performance(found, changes, rounded_of(found.sourced.run), card_gib, here)


def rounded_of(run: Run) -> tuple[Offer, ...]:
    """What is faster at a cost, of what the settings leave slow."""
    values: dict[str, Any] = {
        "precision.mixed": run.precision.mixed,
        "precision.tf32": run.precision.tf32,
    }
    return tuple(
        Offer(((path, after),), 0, about) for path, slow, after, about in ROUNDED if values[path] == slow
    )


def numbers_for(host: Host, name: str, sourced: Sourced) -> Numbers | None:
    """What counts of the pictures that were chosen; None where there are none yet."""
    try:
        return numbers_of(plan_new(host, name, sourced))
    except UserError:
        return None


def room_here(host: Host) -> int | None:
    """What a run would find on this machine's card; None where there is none of a size."""
    try:
        device = choose_device(device_of(host) or AUTO)
    except UserError:
        return None
    return room_on(str(device)) if device.type == "cuda" else None
