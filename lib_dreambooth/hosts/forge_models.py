"""What a Forge has on the card: it keeps a list of that itself, and brings back what it needs by itself."""

from __future__ import annotations

import sys
from typing import Any

# Forge and Neo; reForge and Forge Classic.
MANAGERS = ("backend.memory_management", "ldm_patched.modules.model_management")


def manager() -> Any | None:
    """The module that holds the models of this host, if it is a Forge."""
    if "modules_forge" not in sys.modules:
        return None
    return next((sys.modules[name] for name in MANAGERS if name in sys.modules), None)


def has_one_thread() -> bool:
    """Whether all pictures are made by one thread: none may wait in it, others would wait for that."""
    return "modules_forge.main_thread" in sys.modules


class ForgeModels:
    """All of them, through the host's own memory manager."""

    def __init__(self, found: Any) -> None:
        self.manager = found

    def leave(self) -> None:
        """All of it to system memory, or out of it: as this host does by itself where memory is short."""
        if not getattr(self.manager, "current_loaded_models", True):
            return
        self.manager.unload_all_models()
        self.manager.soft_empty_cache()

    def come_back(self) -> None:
        """Nothing to do: the next picture loads what it needs."""
