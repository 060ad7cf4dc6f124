"""The only ways to make a Run: every problem is collected, with field, value, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.settings.contradictions import contradictions
from lib_dreambooth.settings.draft import Draft
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.notices import Notice, notices
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import COMMAND_LINE, DEFAULT, FORM, Sourced

NOTHING_KNOWN = Facts()


@dataclass(frozen=True)
class Review:
    """What came of reading: `sourced` holds the good values, and the former ones in place of bad ones."""

    sourced: Sourced
    problems: tuple[UserError, ...]
    notices: tuple[Notice, ...]

    def accepted(self) -> Sourced:
        """The run; raises SettingsError with every problem."""
        if self.problems:
            raise SettingsError(list(self.problems))
        return self.sourced


def defaults() -> Sourced:
    """A run of defaults only."""
    return Sourced(Run())


def review(
    data: Mapping[str, Any], *, source: str = FORM, base: Sourced | None = None, facts: Facts = NOTHING_KNOWN
) -> Review:
    """Nested tables over `base`, with every problem and warning; raises nothing."""
    draft = Draft(base or defaults(), source)
    draft.take_tables(data)
    return finished(draft, facts)


def review_changes(
    changes: Mapping[str, Any],
    *,
    source: str = FORM,
    base: Sourced | None = None,
    facts: Facts = NOTHING_KNOWN,
) -> Review:
    """Values by path over `base`, with every problem and warning; raises nothing."""
    draft = Draft(base or defaults(), source)
    for path, raw in changes.items():
        draft.take(path, raw)
    return finished(draft, facts)


def review_typed(
    pairs: Iterable[tuple[str, str]], *, base: Sourced | None = None, facts: Facts = NOTHING_KNOWN
) -> Review:
    """What a person typed for paths on a command line, in order."""
    draft = Draft(base or defaults(), COMMAND_LINE)
    for path, text in pairs:
        draft.take(path, text, typed=True)
    return finished(draft, facts)


def check(sourced: Sourced, facts: Facts = NOTHING_KNOWN) -> Review:
    """The problems and warnings of a run under what is known now."""
    return finished(Draft(sourced, DEFAULT), facts)


def finished(draft: Draft, facts: Facts) -> Review:
    """Builds the run and looks at how its settings go together."""
    sourced = draft.build()
    problems = list(draft.problems)
    for found in contradictions(sourced.run, facts):
        # Where a value was refused, the run holds another in its place, which nobody asked for.
        if not draft.bad_paths.intersection((found.path, *found.also)):
            problems.append(UserError(found.what, where=found.path, todo=found.todo, code="contradiction"))
    return Review(sourced, tuple(problems), tuple(notices(sourced, facts)))


def read(
    data: Mapping[str, Any], *, source: str = FORM, base: Sourced | None = None, facts: Facts = NOTHING_KNOWN
) -> Sourced:
    """A run from nested tables over `base` (defaults if none); raises SettingsError with every problem."""
    return review(data, source=source, base=base, facts=facts).accepted()


def update(sourced: Sourced, changes: Mapping[str, Any], source: str) -> Sourced:
    """A run with some values changed by path, keeping where the others came from."""
    return review_changes(changes, source=source, base=sourced).accepted()


def replace(run: Run, changes: Mapping[str, Any]) -> Run:
    """A run with some values changed by path: replace(run, {"rates.learning_rate": 5e-5})."""
    return update(Sourced(run), changes, FORM).run
