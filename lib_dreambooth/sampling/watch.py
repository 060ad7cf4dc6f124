"""What a drawing says while it is under way, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lib_dreambooth.base.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """How far a batch is: network calls done, of all, and the number of its first picture."""

    step: int
    num_steps: int
    picture: int


def never() -> bool:
    """Nobody stops this."""
    return False


def ignore(progress: Progress) -> None:
    """Nobody watches this."""


@dataclass
class Watch:
    """One batch's progress; asks before every step whether to go on."""

    should_stop: Callable[[], bool]
    on_progress: Callable[[Progress], None]
    num_steps: int
    picture: int
    done: int = 0

    def check(self) -> None:
        """Raises Cancelled where a stop was asked for."""
        if self.should_stop():
            raise Cancelled

    def step(self) -> None:
        """To be called before each step."""
        self.check()
        self.report()
        self.done += 1

    def report(self) -> None:
        """Tells how many steps are done."""
        self.on_progress(Progress(self.done, self.num_steps, self.picture))
