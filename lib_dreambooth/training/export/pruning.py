"""Which results of a run stay: all final ones, and the last so many of the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from lib_dreambooth.training.export.placing import discard
from lib_dreambooth.training.export.result import DIFFUSERS, Result, side_files

log = logging.getLogger(__name__)


class Kept:
    """The results of one run. Files of others are unknown to it, so it cannot remove them."""

    def __init__(self, most: int, results: Iterable[Result] = ()) -> None:
        self.most = most
        self.results = list(results)

    def add(self, result: Result) -> None:
        """Takes a new result in and removes those of its kind that are too many; 0 keeps all."""
        self.results.append(result)
        if not self.most or result.is_final:
            return
        for old in superfluous(self.results, result, self.most):
            if removed(old):
                self.results.remove(old)

    def exchange(self, old: Result, new: Result) -> Result:
        """Takes `new` in the place of `old`, whose file it is; gives `new`."""
        self.results = [new if one == old else one for one in self.results]
        return new


def superfluous(results: Iterable[Result], like: Result, most: int) -> list[Result]:
    """Results of the same kind and label beyond the last `most`; final ones do not count."""
    alike = [one for one in results if (one.kind, one.label) == (like.kind, like.label) and not one.is_final]
    return alike[:-most]


def removed(result: Result) -> bool:
    """Removes a result with its side files; whether it is gone. A file that was changed since stays."""
    path = result.path
    if not path.exists():
        return True
    if result.kind != DIFFUSERS and path.stat().st_size != result.size:
        log.warning("%s is not the file any more that this run wrote; it stays.", path)
        return True
    # The model last: side files alone would find no model when this is cut short.
    beside = side_files(path)
    discard(path)
    if path.exists():
        return False
    for side in beside:
        discard(side)
    return True
