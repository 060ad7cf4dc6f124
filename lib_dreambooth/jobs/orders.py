"""A run that somebody asks for: checked while they wait, queued, made into a job when it is its turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.host import Host, HostPaths
from lib_dreambooth.jobs.completing import kind_of_base, on_base
from lib_dreambooth.jobs.entries import RESUME, TRAIN, Entry, new_entry
from lib_dreambooth.jobs.going_on import changes_for_rest, no_state, resumed, started_over
from lib_dreambooth.jobs.new_words import words_with_host
from lib_dreambooth.jobs.plan import RunPlan, plan_run
from lib_dreambooth.jobs.standing import Standing, settings_text, standing_of, unfinished
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.runs.folder import ModelFolder, exists_already
from lib_dreambooth.runs.lock import holder_of
from lib_dreambooth.runs.names import checked_name
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.settings.facts import Facts, installed_packages
from lib_dreambooth.settings.files import load_text, review_text
from lib_dreambooth.settings.reading import review_changes
from lib_dreambooth.settings.sections.saving import KINDS
from lib_dreambooth.settings.sources import FORM, Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.export.places import Folders

STATE = "state"


@dataclass(frozen=True)
class Order:
    """An entry ready for the queue, and what its run would do (None where that cannot be told yet)."""

    entry: Entry
    plan: RunPlan | None


def results_of(paths: HostPaths) -> Folders:
    """Where results of each kind go on this host."""
    return Folders(
        adapter=paths.adapters,
        checkpoint=paths.checkpoints,
        diffusers=paths.diffusers,
        embedding=paths.embeddings,
    )


def require_model(models_root: Path, name: str) -> ModelFolder:
    """The model of this name; raises UserError."""
    found = ModelFolder.find(models_root, name)
    if found is None:
        raise UserError(
            "there is no model of this name.",
            where=name[:100],
            todo="Create it first, or look at the spelling.",
            code="no-such-model",
        )
    return found


def create_model(paths: HostPaths, name: str, base: Path) -> ModelFolder:
    """A model folder that knows its base; raises UserError. Nothing is copied or converted."""
    name = checked_name(name)
    if ModelFolder.find(paths.dreambooth, name) is not None:
        raise exists_already(paths.dreambooth / name)
    return ModelFolder.create(paths.dreambooth, name, base, kind_of_base(base).family)


def device_of(host: Host) -> str | None:
    """Where the host computes, where it has a say."""
    return host.settings.device or None


def plan_new(host: Host, name: str, sourced: Sourced) -> RunPlan:
    """What a new run of a model, or of one that would be made, does; raises UserError. Writes nothing."""
    name = checked_name(name)
    folder = ModelFolder.find(host.paths.dreambooth, name)
    if folder is not None:
        sourced = on_base(sourced, Path(folder.card().base.path))
    return plan_run(
        words_with_host(sourced, host), name, results_of(host.paths), folder, host_device=device_of(host)
    )


def order_new(host: Host, name: str, sourced: Sourced, *, over: bool = False, waits: bool = False) -> Order:
    """A new run, its model made where there is none; raises UserError with everything in its way.

    An unfinished run of the model is in the way unless `over` says that it may go, or the order `waits` for
    one of the same model before it.
    """
    plan = plan_new(host, name, sourced)
    name = checked_name(name)
    folder = ModelFolder.find(host.paths.dreambooth, name)
    if folder is not None and not over and not waits:
        refuse_unfinished(folder, standing_of(folder))
    if folder is None:
        base = Path(plan.run.model.base)
        ModelFolder.create(host.paths.dreambooth, name, base, plan.kind.family)
    return Order(new_entry(name, TRAIN, settings=text_of(sourced)), plan)


def refuse_unfinished(folder: ModelFolder, standing: Standing) -> None:
    """Raises UserError where a new run would leave unfinished work behind."""
    if standing.is_unfinished:
        raise unfinished(
            folder, standing, "Go on with it, train some more steps, or start over from the base."
        )


def order_rest(
    host: Host, name: str, changes: Mapping[str, Any], more_steps: int = 0, *, waits: bool = False
) -> Order:
    """The rest of a model's last run, or `more_steps` of it; raises UserError with what is in its way.

    What `waits` for another run of the model is looked at when it is its turn.
    """
    folder = require_model(host.paths.dreambooth, name)
    entry = new_entry(name, RESUME, changes=dict(changes), more_steps=more_steps)
    if waits or holder_of(folder.path) is not None:
        return Order(entry, None)
    standing = standing_of(folder)
    job = job_of(host, entry)
    plan = plan_run(job.sourced, name, job.results, folder, host_device=device_of(host))
    changes_for_rest(job, plan, standing, "Train some more steps, or start over from the base.")
    return Order(entry, plan)


def order_files(host: Host, name: str, kinds: Sequence[str]) -> Order:
    """Files for use from a model's newest state, without a step; raises UserError where there is none."""
    folder = require_model(host.paths.dreambooth, name)
    require_files(kinds)
    if holder_of(folder.path) is None and standing_of(folder).state is None:
        raise no_state(folder)
    return Order(new_entry(name, RESUME, makes=tuple(kinds)), None)


def require_files(kinds: Sequence[str]) -> None:
    """Raises UserError where there is no kind, or one that is no file for use."""
    unknown = [kind for kind in kinds if kind not in KINDS or kind == STATE]
    if unknown or not kinds:
        raise UserError(
            "is no kind of file for use.",
            where="makes",
            todo=f"There are: {', '.join(k for k in KINDS if k != STATE)}.",
        )


def job_of(host: Host, entry: Entry) -> TrainingJob:
    """The run that an entry asks for, on this host; raises UserError where it cannot be made (any more)."""
    folder = require_model(host.paths.dreambooth, entry.model)
    results = results_of(host.paths)
    facts = facts_of(host)
    if entry.action == RESUME:

        def change(sourced: Sourced) -> Sourced:
            return review_changes(entry.changes, source=FORM, base=sourced, facts=facts).accepted()

        job = resumed(folder, results, change, entry.more_steps)
    else:
        sourced = review_text(entry.settings, folder.settings_path.name, facts=facts).accepted()
        job = started_over(folder, words_with_host(sourced, host), results)
    job.host_device = device_of(host)
    job.host_pictures = pictures_of(host)
    job.sharing = host
    job.makes = entry.makes
    return job


def settings_of(host: Host, entry: Entry) -> Sourced:
    """The settings that the run of an entry is given, whether or not they could still be taken."""
    if entry.action == TRAIN:
        return review_text(entry.settings, "settings.toml").sourced
    folder = require_model(host.paths.dreambooth, entry.model)
    text = settings_text(folder, standing_of(folder)) or load_text(folder.settings_path)
    base = review_text(text, folder.settings_path.name).sourced
    return review_changes(entry.changes, source=FORM, base=base).sourced


def facts_of(host: Host) -> Facts:
    """What this machine and this host can."""
    return Facts(packages=installed_packages(), reads=host.reads)


def pictures_of(host: Host) -> PictureSettings:
    """How this host draws; what it says beside that is left out."""
    known = {one.name for one in dataclasses.fields(PictureSettings)}
    told = {name: value for name, value in host.settings.pictures.items() if name in known}
    return PictureSettings(**told)  # type: ignore[arg-type]


def changed_order(entry: Entry, changes: Mapping[str, Any]) -> Entry:
    """The entry with other values of some settings; raises SettingsError with every problem."""
    if not changes:
        return entry
    if entry.action == RESUME:
        return dataclasses.replace(entry, changes={**entry.changes, **changes})
    base = review_text(entry.settings, "settings.toml").sourced
    return dataclasses.replace(entry, settings=text_of(review_changes(changes, base=base).accepted()))
