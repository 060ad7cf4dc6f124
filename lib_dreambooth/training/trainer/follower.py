"""The steps of a run in a process that is not the main one."""

from __future__ import annotations

from lib_dreambooth.runs.commands import StopAtEpochEnd, StopWithoutSaving
from lib_dreambooth.runs.events import CANCELLED, DISCARDED, DONE
from lib_dreambooth.training.trainer.awaited import Awaited, Stepped
from lib_dreambooth.training.trainer.work import Work


class Follower(Work):
    """Takes its part of every step; the main process decides, tells, writes and draws."""

    def begin(self) -> None:
        """Nothing: room on the disk and first pictures are the main process's."""

    def _after(self, stepped: Stepped | Awaited) -> None:
        """Nothing falls due here."""

    def _rescue(self) -> None:
        self.ready.optimizer.zero_grad()

    def end(self) -> str:
        """How it ended."""
        if self.control.stop is StopWithoutSaving:
            return DISCARDED
        return DONE if self.is_over or self.control.stop is StopAtEpochEnd else CANCELLED
