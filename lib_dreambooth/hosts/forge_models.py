"""What a Forge has on the card: it keeps a list of that itself, and brings back what it needs by itself."""

from __future__ import annotations

import sys
import threading
from typing import Any

# Forge and Neo; reForge and Forge Classic.
MANAGERS = ("backend.memory_management", "ldm_patched.modules.model_management")


def manager() -> Any | None:
    """The module that holds the models of this host, if it is a Forge."""
    if "modules_forge" not in sys.modules:
        return None
    return next((sys.modules[name] for name in MANAGERS if name in sys.modules), None)


def is_the_one_thread() -> bool:
    """Whether this is the thread that makes the pictures of a Forge's page: none may wait in it.

    The next one takes the lock before it is given to that thread, and would hold it. Pictures of the API are
    made in threads of their own.
    """
    return (
        "modules_forge.main_thread" in sys.modules and threading.current_thread() is threading.main_thread()
    )


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
