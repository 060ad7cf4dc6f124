"""How steps are taken where the settings leave it open; none of it changes what is learned."""

from __future__ import annotations

from dataclasses import dataclass

OPEN = "auto"


@dataclass(frozen=True)
class Taking:
    """What is computed twice, whether weights move in the backward pass, whether the UNet leaves the card
    while other parts are at work, in how many pieces a batch is taken, whether gradients wait elsewhere, and
    whether what the optimizer remembers does. None: as usual.
    """

    level: str | None = None
    is_fused: bool | None = None
    is_alone: bool | None = None
    pieces: int | None = None
    is_in_system: bool | None = None
    is_state_away: bool | None = None

    def level_for(self, setting: str, kind: str) -> str:
        """The level of a run: the setting's, else the one that was chosen, else all of it on cards."""
        if setting != OPEN:
            return setting
        return self.level or ("off" if kind == "cpu" else "on")

    def leaves_for(self, setting: str) -> bool:
        """Whether parts of the model are at work alone: as the setting has it, else as it was chosen."""
        return bool(self.is_alone) if setting == OPEN else setting == "on"

    def pieces_for(self, setting: int) -> int:
        """In how many pieces a batch is taken: as the setting has it, else as it was chosen."""
        return setting or self.pieces or 1


AS_SET = Taking()
