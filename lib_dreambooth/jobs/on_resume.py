"""What is different when a run goes on, said before anything is read, and what its rates then do."""

from __future__ import annotations

from lib_dreambooth.settings.files import review_text
from lib_dreambooth.settings.length import LengthPlan, plan_length
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.rates.of_run import rates_of
from lib_dreambooth.training.resume_rules import rule_of
from lib_dreambooth.training.resuming import Difference, differences_on_resume
from lib_dreambooth.training.state import TrainingState


def changed_settings(state: TrainingState, run: Run) -> list[Difference]:
    """The settings that differ from the state's, refused ones first.

    Those that are safe where the pictures stayed the same are left out: the run looks at them itself.
    """
    found = differences_on_resume(state.to_saved()[1], run, state.surroundings)
    return [one for one in found if not _depends_on_pictures(one.field)]


def _depends_on_pictures(path: str) -> bool:
    rule = rule_of(path)
    return rule is not None and rule.if_same_order


def settings_of_state(state: TrainingState) -> Run:
    """The run that a state belongs to, as it was."""
    return review_text(state.settings, "state.json").sourced.run


def rates_text(before: Run, run: Run, length: LengthPlan, step: int) -> str:
    """What the schedule does from `step` on, now that the run is as long as `length` says."""
    was_long = plan_length(length.epoch, before.length.train_for, before.length.whole_epochs)
    old, new = rates_of(before, was_long), rates_of(run, length)
    part = next(iter(new.parts))
    name = run.rates.schedule.replace("_", " ")
    now = new.at(part, step)
    # The last step that was taken with the old length.
    came_to = old.at(part, max(0, step - 1)) if part in old.parts else now
    if length.total_steps is None:
        return f"The {name} schedule goes on at a rate of {now:.3g}."
    last = new.at(part, length.total_steps - 1)
    if came_to == now == last:
        return f"The {name} schedule goes on at the same rate, {now:.3g}, up to step {length.total_steps:,}."
    jump = "" if abs(now - came_to) <= abs(came_to) / 10 else f", after {came_to:.3g} at the step before"
    return (
        f"The {name} schedule is now {length.total_steps:,} steps long: "
        f"the rate goes on at {now:.3g}{jump}, and ends at {last:.3g}."
    )
