"""How much is computed twice, made more while a run is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from torch import nn

from lib_dreambooth.training.precision.checkpointing import LEVELS, checkpointing


class Sparing(AbstractContextManager["Sparing"]):
    """The parts of a model at a level, while inside; `raise_level` goes on with the next one.

    Gradients are the same bits at every level: a step that is repeated gives what it would have given.
    """

    def __init__(self, modules: Callable[[], Mapping[str, nn.Module]], level: str) -> None:
        self.level = level
        self._modules = modules
        self._open = ExitStack()

    def __enter__(self) -> Sparing:
        self._enter()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._open.close()

    def raise_level(self) -> str | None:
        """The next level, at work from now on; None where there is none. Not in the middle of a step."""
        place = LEVELS.index(self.level) + 1
        if place == len(LEVELS):
            return None
        self._open.close()
        self.level = LEVELS[place]
        self._enter()
        return self.level

    def _enter(self) -> None:
        forward = self._open.enter_context(checkpointing(self._modules(), self.level))
        self._open.enter_context(forward)
