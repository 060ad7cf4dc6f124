"""How steps are taken where the settings leave it open; none of it changes what is learned."""

from __future__ import annotations

from dataclasses import dataclass

OPEN = "auto"


@dataclass(frozen=True)
class Taking:
    """The level of what is computed twice, and whether weights move in the backward pass. None: as usual."""

    level: str | None = None
    is_fused: bool | None = None

    def level_for(self, setting: str, kind: str) -> str:
        """The level of a run: the setting's, else the one that was chosen, else all of it on cards."""
        if setting != OPEN:
            return setting
        return self.level or ("off" if kind == "cpu" else "on")


AS_SET = Taking()
