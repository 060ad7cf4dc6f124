"""A route as data, and one call of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lib_dreambooth.api.access import Access
from lib_dreambooth.base.host import Host
from lib_dreambooth.jobs.worker import Worker

KILO = 1 << 10
# Settings with many concepts are some 100 KB.
USUAL_BODY = 4 * KILO * KILO


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a call brings along. Unknown fields are refused, as unknown settings are."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gets back, for the documentation and its tests."""


@dataclass(frozen=True)
class Site:
    """Where calls are answered: the worker of this process, its host, and who may come in."""

    worker: Worker
    access: Access

    @property
    def host(self) -> Host:
        return self.worker.host


@dataclass(frozen=True)
class Call:
    """One call: parts of its path, what stands behind its question mark, and its body."""

    site: Site
    parts: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    last_event: str = ""

    @property
    def host(self) -> Host:
        return self.site.host


@dataclass(frozen=True)
class Query:
    """A value behind the question mark: a whole number of at least 0, or a text, or a switch."""

    name: str
    about: str
    default: int | str | bool


@dataclass(frozen=True)
class Route:
    """A route: `answer` is a type for the documentation, "picture", "file" or "events".

    `do` runs in a thread of our own and gives plain values, or a response as it is.
    """

    method: str
    path: str
    about: str
    do: Callable[[Call], Any]
    answer: Any = dict[str, Any]
    body: type[Body] | None = None
    query: tuple[Query, ...] = ()
    largest: int = USUAL_BODY
    status: int = 200
    # Old scripts send no JSON.
    takes_anything: bool = False

    @property
    def parts(self) -> list[str]:
        """The names in braces."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
