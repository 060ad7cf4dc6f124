"""A model's last run once more: the rest of it, more of it, or all of it from the base again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.jobs.earlier import earlier_results
from lib_dreambooth.jobs.on_resume import changed_settings
from lib_dreambooth.jobs.plan import RunPlan
from lib_dreambooth.jobs.record import new_run_id
from lib_dreambooth.jobs.standing import Standing, settings_text, standing_of
from lib_dreambooth.jobs.together import for_processes
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.kept_states import SavedState, newest_whole, next_lineage, read_state
from lib_dreambooth.settings.files import load_text, review_text
from lib_dreambooth.settings.reading import update
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.resuming import Difference, refuse_unsafe
from lib_dreambooth.training.state import TrainingState

log = logging.getLogger(__name__)


def no_state(folder: ModelFolder, num_damaged: int = 0) -> UserError:
    """The sentence for a run that cannot be gone on with."""
    if num_damaged:
        what = f"{'all states are' if num_damaged > 1 else 'the only state is'} damaged."
        return FileError(
            what, where=str(folder.states_dir), todo="Start the training over.", code="damaged-state"
        )
    return UserError(
        "there is no state to go on from.",
        where=str(folder.path),
        todo="Start the training anew.",
        code="no-state",
    )


def resumed(
    folder: ModelFolder,
    results: Folders,
    change: Callable[[Sourced], Sourced] = lambda sourced: sourced,
    more_steps: int = 0,
    processes: int = 1,
    told: Callable[[str], None] = log.warning,
) -> TrainingJob:
    """The job that goes on with a model's last run, with its settings and what `change` makes of them.

    A run that was killed before its first state begins again, as the same run. `more_steps` makes it that
    much longer than the state is far; with another number of `processes` the total batch stays. Raises
    UserError where nothing was begun or no state is whole.
    """
    standing = standing_of(folder)
    found = state_of(folder, standing, told)
    if found is None and more_steps and standing.ended_at:
        # Nothing is left to add steps to.
        raise no_state(folder)
    state = None if found is None else TrainingState.from_saved(*read_state(found))
    text = settings_text(folder, standing) or (state.settings if state else load_text(folder.settings_path))
    sourced = change(review_text(text, folder.settings_path.name).sourced)
    sourced = for_processes(sourced, state, processes)
    if more_steps:
        sourced = longer(sourced, (state.step if state else 0) + more_steps)
    record = standing.record
    lineage = record.lineage if record else found.lineage if found else 0
    run_id = record.id if record else new_run_id()
    earlier = earlier_results(folder, run_id, sourced.run) if record else []
    return TrainingJob(folder, sourced, results, state=state, lineage=lineage, run_id=run_id, earlier=earlier)


def state_of(
    folder: ModelFolder, standing: Standing, told: Callable[[str], None] = log.warning
) -> SavedState | None:
    """The newest whole state of the last run; None where it was begun and wrote none.

    Raises UserError where nothing was begun, or all of its states are damaged.
    """
    if not standing.was_begun:
        raise no_state(folder)
    found = newest_whole(folder.states_dir)
    for damaged in found.damaged:
        told(damaged.sentence())
    is_of_run = found.state is not None and (
        standing.record is None or found.state.lineage == standing.record.lineage
    )
    if is_of_run:
        return found.state
    if standing.state is not None:
        raise no_state(folder, len(found.damaged))
    return None


def longer(sourced: Sourced, num_steps: int) -> Sourced:
    """The same run with another length; a schedule that falls to the end falls to the new one."""
    changes = {"length.train_for": f"{num_steps} steps", "length.whole_epochs": False}
    return update(sourced, changes, "resume")


def started_over(folder: ModelFolder, sourced: Sourced, results: Folders) -> TrainingJob:
    """The job that begins from the base again; its states count as newer than those there are."""
    return TrainingJob(folder, sourced, results, lineage=next_lineage(folder.states_dir))


def started_over_again(
    folder: ModelFolder, results: Folders, change: Callable[[Sourced], Sourced] = lambda sourced: sourced
) -> TrainingJob:
    """The job that begins from the base again with the settings of the last run; raises UserError."""
    text = settings_text(folder, standing_of(folder)) or load_text(folder.settings_path)
    return started_over(folder, change(review_text(text, folder.settings_path.name).sourced), results)


def changes_for_rest(job: TrainingJob, plan: RunPlan, standing: Standing, todo: str) -> list[Difference]:
    """The settings that are different when this job goes on with the last run.

    Raises UserError where nothing is left to do (`todo` says then what is), or a change forbids it.
    """
    state, total = job.state, plan.length.total_steps
    step = state.step if state is not None else 0
    is_over = not standing.has_rest and total == standing.num_steps
    if is_over or (total is not None and step >= total):
        raise UserError(
            f"the last run is finished, after {max(step, standing.ended_at):,} steps.",
            where=job.folder.name,
            todo=todo,
            code="run-finished",
        )
    if state is None:
        return []
    changes = changed_settings(state, plan.run)
    refuse_unsafe(changes)
    return changes
