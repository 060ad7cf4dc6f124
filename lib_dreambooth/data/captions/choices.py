"""Where the caption operations get their decisions: drawn for one visit, or every one of them in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lib_dreambooth.diffusion.draws import Draw


@dataclass(frozen=True, slots=True)
class Visit:
    """One look at one item. `number` counts the item's visits from 0 over the whole run, `epoch` from 0.

    `step` is the optimizer step that this visit falls into, `warmup_steps` how long the token warm-up takes.
    """

    seed: int
    item: str
    number: int
    epoch: int
    step: int = 0
    warmup_steps: int = 0


class Choices(Protocol):
    """Decisions, each with a purpose of its own so that using one operation never moves another's draws."""

    def happens(self, purpose: str, rate: float) -> bool:
        """True with probability `rate`."""

    def pick(self, purpose: str, count: int) -> int:
        """One of `count`, each as likely."""

    def order(self, purpose: str, count: int) -> Sequence[int]:
        """The numbers below `count` in some order, each as likely."""

    def is_nth_epoch(self, every: int) -> bool:
        """Whether this is the `every`th epoch, counted from 1."""

    def warm(self, count: int, first: int) -> int:
        """How many of `count` tags the warm-up lets through when it starts with `first`."""


class DrawnChoices:
    """The decisions of one visit: a function of seed, item and visit."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._streams: dict[str, Draw] = {}

    def _stream(self, purpose: str) -> Draw:
        if purpose not in self._streams:
            visit = self._visit
            self._streams[purpose] = Draw(visit.seed, f"caption {purpose}", visit.item, visit.number)
        return self._streams[purpose]

    def happens(self, purpose: str, rate: float) -> bool:
        return rate > 0 and self._stream(purpose).uniform() < rate

    def pick(self, purpose: str, count: int) -> int:
        return self._stream(purpose).integer(count) if count > 1 else 0

    def order(self, purpose: str, count: int) -> Sequence[int]:
        return self._stream(purpose).permutation(count).tolist() if count > 1 else range(count)

    def is_nth_epoch(self, every: int) -> bool:
        return every > 0 and (self._visit.epoch + 1) % every == 0

    def warm(self, count: int, first: int) -> int:
        done, length = self._visit.step, self._visit.warmup_steps
        if done >= length:
            return count
        return min(count, done * (count - first) // length + first) if count > first else count


class AsWritten:
    """Nothing dropped, nothing moved, the first of what can be chosen."""

    def happens(self, purpose: str, rate: float) -> bool:
        return False

    def pick(self, purpose: str, count: int) -> int:
        return 0

    def order(self, purpose: str, count: int) -> Sequence[int]:
        return range(count)

    def is_nth_epoch(self, every: int) -> bool:
        return False

    def warm(self, count: int, first: int) -> int:
        return count


class TooMany(Exception):
    """There are more outcomes than were asked for."""


class _PathChoices:
    """Follows a prescribed path of decisions and notes how wide each fork was."""

    def __init__(self, path: Sequence[int], warms_up: bool) -> None:
        self._path = path
        self._warms_up = warms_up
        self.widths: list[int] = []

    def _fork(self, width: int) -> int:
        depth = len(self.widths)
        self.widths.append(width)
        return self._path[depth] if depth < len(self._path) else 0

    def happens(self, purpose: str, rate: float) -> bool:
        if rate <= 0 or rate >= 1:
            return rate >= 1
        return self._fork(2) == 1

    def pick(self, purpose: str, count: int) -> int:
        return self._fork(count) if count > 1 else 0

    def order(self, purpose: str, count: int) -> Sequence[int]:
        left = list(range(count))
        return [left.pop(self._fork(len(left)) if len(left) > 1 else 0) for _ in range(count)]

    def is_nth_epoch(self, every: int) -> bool:
        if every <= 1:
            return every == 1
        return self._fork(2) == 1

    def warm(self, count: int, first: int) -> int:
        if not self._warms_up or count <= first:
            return count
        return first + self._fork(count - first + 1)


def every_outcome(compose: Callable[[Choices], str], limit: int, warms_up: bool) -> list[str]:
    """Each text that `compose` can give, once, in a fixed order; raises TooMany above `limit`."""
    found: dict[str, None] = {}
    for tried, text in enumerate(_walk(compose, warms_up)):
        found[text] = None
        # Tags that repeat give few texts on very many paths.
        if len(found) > limit or tried > 16 * limit:
            raise TooMany
    return list(found)


def _walk(compose: Callable[[Choices], str], warms_up: bool) -> Iterator[str]:
    path: list[int] = []
    while True:
        choices = _PathChoices(path, warms_up)
        yield compose(choices)
        widths = choices.widths
        path = [*path, *[0] * (len(widths) - len(path))]
        while path and path[-1] + 1 >= widths[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1
