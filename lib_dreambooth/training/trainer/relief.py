"""Steps taken more sparingly where memory ends, and what a state remembers of that.

First more is computed twice, for the same bits; then batches are taken in pieces, where rounding differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.training.precision.checkpointing import LEVELS
from lib_dreambooth.training.precision.sparing import Sparing
from lib_dreambooth.training.trainer.splitting import more_pieces
from lib_dreambooth.training.trainer.stepping import Stepper

LEVEL, PIECES = "memory.checkpointing", "memory.pieces"
SPARING = {
    "some": "The largest blocks are computed twice from here on.",
    "on": "All blocks are computed twice from here on.",
    "offload": "All blocks are computed twice from here on, with what they keep in system memory.",
}
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

    def to_json(self) -> dict[str, Any]:
        return {"device": self.device, "level": self.level, "pieces": self.pieces}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], device: str) -> Spared:
        """What counts on this device: another one may have more memory."""
        if data.get("device") != device or data.get("level") not in LEVELS:
            return cls()
        return cls(device, str(data["level"]), max(1, int(data.get("pieces", 1))))

    def level_from(self, level: str) -> str:
        """The higher of the two."""
        return max(level, self.level, key=LEVELS.index)


def relieve(sparing: Sparing, stepper: Stepper) -> Relief | None:
    """Takes the steps from here on with less memory; None where there is no way left."""
    level = sparing.raise_level()
    if level is not None:
        found = Relief(LEVEL, f"{SPARING[level]} {SAME}")
    else:
        ready = stepper.ready
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
