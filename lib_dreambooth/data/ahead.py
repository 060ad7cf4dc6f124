"""Work done ahead by threads, its results in order: how many threads there are cannot be seen in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def ahead(
    make: Callable[[Task], Result], tasks: Iterable[Task], workers: int, depth: int = 0
) -> Iterator[Result]:
    """`make` of each task in turn, up to `depth` results ahead (0: two for each worker).

    Without workers everything is done when it is asked for. An error comes out at its task's place. What
    `make` gives must depend on its task alone.
    """
    if workers < 1:
        yield from map(make, tasks)
        return
    source = iter(tasks)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="dreambooth-data")
    try:
        waiting.extend(pool.submit(make, task) for task in islice(source, depth or 2 * workers))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(make, task) for task in islice(source, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
