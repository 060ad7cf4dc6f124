"""The `forward` of single modules taken over for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Taking = Callable[[Any, Callable[..., Any]], None]


def is_taken(module: Any) -> bool:
    """Whether a module computes by another `forward` than its own."""
    return "forward" in vars(module)


@contextmanager
def forwards_taken() -> Iterator[Taking]:
    """Gives what puts another `forward` on a module; afterwards all modules are as they were."""
    taken: list[tuple[Any, Any]] = []

    def take(module: Any, forward: Callable[..., Any]) -> None:
        taken.append((module, module.__dict__.get("forward")))
        module.forward = forward

    try:
        yield take
    finally:
        # Backwards: one that was taken twice ends as it began.
        for module, own in reversed(taken):
            del module.forward
            if own is not None:
                module.forward = own
