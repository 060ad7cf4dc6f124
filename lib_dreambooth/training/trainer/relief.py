"""Steps taken more sparingly where memory ends, and what a state remembers of that.

First more is computed twice and what the optimizer remembers leaves the card, for the same bits; then batches
are taken in pieces, where rounding differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.training.optimizers.fused import STATE, may_leave
from lib_dreambooth.training.precision.checkpointing import LEVELS
from lib_dreambooth.training.precision.sparing import Sparing
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.splitting import more_pieces
from lib_dreambooth.training.trainer.stepping import Stepper

LEVEL, PIECES = "memory.checkpointing", "memory.pieces"
SPARING = {
    "some": "The largest blocks are computed twice from here on.",
    "on": "All blocks are computed twice from here on.",
    "offload": "All blocks are computed twice from here on, with what they keep in system memory.",
}
LEAVING = "What the optimizer remembers waits in system memory from here on."
SAME = "The result is the same, steps take longer."
ROUNDED = "The result is the same but for rounding, steps take longer."


@dataclass(frozen=True)
class Relief:
    """What is done from here on: the setting that would have done so, and sentences for people."""

    where: str
    text: str


@dataclass(frozen=True)
class Spared:
    """What a run on a device had to come to; nothing where memory sufficed."""

    device: str = ""
    level: str = LEVELS[0]
    pieces: int = 1
    is_state_away: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], device: str) -> Spared:
        """What counts on this device: another one may have more memory."""
        if data.get("device") != device or data.get("level") not in LEVELS:
            return cls()
        pieces, is_away = max(1, int(data.get("pieces", 1))), bool(data.get("is_state_away"))
        return cls(device, str(data["level"]), pieces, is_away)

    def level_from(self, level: str) -> str:
        """The higher of the two."""
        return max(level, self.level, key=LEVELS.index)


def relieve(sparing: Sparing, stepper: Stepper) -> Relief | None:
    """Takes the steps from here on with less memory; None where there is no way left."""
    level, ready = sparing.raise_level(), stepper.ready
    if level is not None:
        found = Relief(LEVEL, f"{SPARING[level]} {SAME}")
    elif can_leave(ready):
        ready.optimizer.keep_state_in_system_memory()
        found = Relief(STATE, f"{LEAVING} {SAME}")
    else:
        pieces = more_pieces(stepper.pieces, ready.run.length.batch_size)
        # Weights that move in the backward pass have no gradients of several pieces to add up.
        if pieces is None or ready.is_fused:
            return None
        stepper.pieces = pieces
        split = f"Batches are taken in {pieces} parts one after the other from here on."
        found = Relief(PIECES, f"{split} {ROUNDED}")
    if stepper.replays is not None:
        # They hold memory, and know of no other way.
        stepper.replays.drop()
    return found


def can_leave(ready: Ready) -> bool:
    """Whether a card is much emptier without what the optimizer remembers: of a network that is little."""
    optimizer = ready.optimizer
    is_here = ready.device.type == "cuda" and not optimizer.is_state_away
    return is_here and may_leave(optimizer.known) and not is_adapter(ready.run)
