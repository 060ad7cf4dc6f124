"""How often a phase is told."""

from __future__ import annotations

from lib_dreambooth.runs.events import Event, Phase
from lib_dreambooth.training.trainer.telling import Telling


def told(total: int, seconds: float = 0.0, name: str = "encoding") -> list[int]:
    """What is told of `total` things that take so long each."""
    found: list[Event] = []
    clock = iter(number * seconds for number in range(total + 1))
    tell = Telling(found.append, lambda: next(clock))
    for done in range(total + 1):
        tell(name, done, total)
    assert all(isinstance(one, Phase) and (one.name, one.total) == (name, total) for one in found)
    return [one.done for one in found if isinstance(one, Phase)]


def test_each_of_a_few_is_told() -> None:
    assert told(100) == list(range(101))


def test_many_are_told_in_hundredths() -> None:
    assert told(10_000) == list(range(0, 10_001, 100))
    assert told(250)[:4] == [0, 3, 5, 8] and told(250)[-1] == 250


def test_slow_ones_are_told_one_by_one() -> None:
    assert told(1_000, seconds=1.5) == list(range(1_001))


def test_another_phase_is_told_at_once() -> None:
    found: list[Event] = []
    tell = Telling(found.append, lambda: 0.0)
    for name in ("pictures", "captions"):
        tell(name, 5, 10_000)
        tell(name, 6, 10_000)
    assert [(one.name, one.done) for one in found if isinstance(one, Phase)] == [
        ("pictures", 5),
        ("captions", 5),
    ]
