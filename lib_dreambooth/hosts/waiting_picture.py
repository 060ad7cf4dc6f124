"""A picture that waits for the end of a run: its progress bar says why, and it can be given up."""

from __future__ import annotations

from typing import Any

WHY = (
    "Waiting for the training to end. Pause it in the Dreambooth tab to get this picture first, or change "
    "Settings > Dreambooth."
)
WHY_REFUSED = (
    "Not drawn: a training runs, and it goes first. Pause it in the Dreambooth tab, or change "
    "Settings > Dreambooth."
)


def refuse(processing: Any) -> None:
    """Where none can wait: the picture ends before it begins, and says why. Extras, without words, pass."""
    from modules import shared

    comment = getattr(processing, "comment", None)
    if comment is not None:
        shared.state.interrupted = True
        comment(WHY_REFUSED)


class WaitingPicture:
    """What the WebUI shows for the job that has just begun. Others may begin and wait while it does."""

    def __init__(self) -> None:
        from modules import progress, shared

        self._progress: Any = progress
        self._state: Any = shared.state
        self._task = getattr(progress, "current_task", None)
        self._job = getattr(shared.state, "job", "")

    def show(self) -> None:
        """The bar of the picture that began last says why nothing happens."""
        if self._progress.current_task is None:
            self._progress.current_task = self._task
        self._state.textinfo = WHY

    def is_given_up(self) -> bool:
        """Whether the user pressed Interrupt or Skip."""
        names = ("interrupted", "skipped", "stopping_generation")
        return any(getattr(self._state, name, False) for name in names)

    def begin_again(self) -> None:
        """It is its turn: as the WebUI begins a job, without forgetting that it was given up."""
        if not self.is_given_up():
            self._state.begin(self._job)
        self._progress.current_task = self._task
        self._state.textinfo = None
