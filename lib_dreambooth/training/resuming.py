"""What is different when a run goes on: settings, base, pictures, versions; and whether that is safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.settings.compare import ABSENT, Change, differences, side
from lib_dreambooth.settings.fields import field_at
from lib_dreambooth.settings.files import review_text
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.resume_rules import rule_of
from lib_dreambooth.training.state import PACKAGES, Surroundings

SHORT_HASH = 10
OTHER_BASE = "The state was trained on another checkpoint."
OTHER_ORDER = "The pictures, their number or their repeats are others than when the state was made."
DIGITS = "Only the last digits of the result may differ."
UNSAFE_TODO = "Set it back to go on, or start over; a new run can begin with the finished file instead."


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was; `old` and `new` in words for people."""

    field: str
    old: str
    new: str
    is_safe: bool
    why: str

    def line(self) -> str:
        """For people."""
        return f"{self.field}: {self.old} -> {self.new}. {self.why}"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "field": self.field,
            "old": self.old,
            "new": self.new,
            "is_safe": self.is_safe,
            "why": self.why,
        }


def differences_on_resume(scalars: Mapping[str, Any], run: Run, now: Surroundings) -> list[Difference]:
    """Everything that a state's run had otherwise than `run` has; refused things first.

    `scalars` are those of the state, as `TrainingState.to_saved` made them.
    """
    then = Surroundings.from_json(scalars["surroundings"])
    is_same_order = bool(then.plan) and then.plan == now.plan
    # Whatever of the old settings is not understood any more holds its default.
    before = review_text(str(scalars["settings"]), "state.json").sourced.run
    found = [*_of_surroundings(then, now)]
    for change in differences(before, run):
        if not _is_only_an_entry(change):
            found.append(_of_setting(change, is_same_order))
    return sorted(found, key=lambda difference: difference.is_safe)


def refuse_unsafe(found: Sequence[Difference]) -> None:
    """Raises SettingsError with everything that a run cannot go on with."""
    problems = [
        UserError(
            f"it was {one.old} when the state was made and is {one.new} now. {one.why}",
            where=one.field,
            todo=UNSAFE_TODO,
            code="other-base" if one.field == "model.base" else "changed-on-resume",
        )
        for one in found
        if not one.is_safe
    ]
    if problems:
        raise SettingsError(problems)


def _of_setting(change: Change, is_same_order: bool) -> Difference:
    rule = rule_of(change.path)
    assert rule is not None, f"{change.path} has no rule for going on"
    old, new = side(change.before), side(change.after)
    if rule.if_same_order and is_same_order:
        why = "The pictures and their order are the same all the same."
        return Difference(change.path, old, new, True, why)
    return Difference(change.path, old, new, rule.is_safe, rule.why)


def _is_only_an_entry(change: Change) -> bool:
    """Whether this is one of the many defaults of an entry that came or went as a whole."""
    field = field_at(change.path)
    present = change.after if change.before is ABSENT else change.before
    is_partial = change.before is ABSENT or change.after is ABSENT
    return is_partial and field is not None and present == field.default


def _of_surroundings(then: Surroundings, now: Surroundings) -> Iterator[Difference]:
    if then.base_sha256 != now.base_sha256:
        old, new = _short(then.base_sha256), _short(now.base_sha256)
        yield Difference("model.base", old, new, False, OTHER_BASE)
    if then.plan and now.plan and then.plan != now.plan:
        yield Difference("concepts", _short(then.plan), _short(now.plan), False, OTHER_ORDER)
    if then.device != now.device:
        yield Difference("memory.device", then.device, now.device, True, DIGITS)
    if then.threads != now.threads:
        yield Difference("threads", str(then.threads), str(now.threads), True, DIGITS)
    if then.processes != now.processes:
        yield Difference("processes", str(then.processes), str(now.processes), True, DIGITS)
    # States of older versions note packages that nothing computes with any more.
    for name in sorted(({*then.versions} & {*PACKAGES}) | {*now.versions}):
        old, new = then.versions.get(name, "-"), now.versions.get(name, "-")
        if old != new:
            yield Difference(name, old, new, True, DIGITS)


def _short(digest: str) -> str:
    return digest[:SHORT_HASH] or "unknown"
