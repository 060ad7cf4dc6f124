"""What stands in the queue: one run that is wanted, under way, or over."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lib_dreambooth.runs.folder import utc_now
from lib_dreambooth.runs.lock import Holder
from lib_dreambooth.runs.processes import start_of

# What a run does: begin at the base, or go on with the last one of its model.
TRAIN, RESUME = "train", "resume"
ACTIONS = (TRAIN, RESUME)
WAITING, RUNNING, ENDED = "waiting", "running", "ended"
# A run whose process is gone, beside the ends that runs tell themselves.
BROKEN_OFF = "broken-off"


@dataclass(frozen=True)
class Entry:
    """`settings` is the TOML text of a new run; `changes` are settings by path of one that is gone on with,
    `makes` are kinds of files that are only written from its state.

    `owner` is the process that will run it, or runs it: what another, ended process left waiting is held back
    until somebody says so.
    """

    id: str
    model: str
    action: str
    settings: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    more_steps: int = 0
    makes: tuple[str, ...] = ()
    status: str = WAITING
    outcome: str = ""
    step: int = 0
    num_steps: int | None = None
    run_id: str = ""
    problem: Mapping[str, Any] | None = None
    added: str = ""
    began: str = ""
    ended: str = ""
    owner: Holder | None = None

    @property
    def is_held(self) -> bool:
        """Whether it waits for somebody to say that it may begin."""
        return self.status == WAITING and (self.owner is None or self.owner.is_dead)

    @property
    def is_mine(self) -> bool:
        return self.owner is not None and self.owner.is_this_process

    @property
    def is_lost(self) -> bool:
        """Whether it was under way in a process that is gone."""
        return self.status == RUNNING and (self.owner is None or self.owner.is_dead)


def new_entry(model: str, action: str, **values: Any) -> Entry:
    """An entry of this process under an id of its own."""
    assert action in ACTIONS
    return Entry(secrets.token_hex(8), model, action, added=utc_now(), owner=this_process(), **values)


def this_process() -> Holder:
    """Who we are, told apart from later processes of the same number."""
    return Holder(os.getpid(), start_of(os.getpid()), platform.node(), utc_now(), "queue")


def to_json(entry: Entry) -> dict[str, Any]:
    """The form on the disk."""
    return {**asdict(entry), "changes": dict(entry.changes), "makes": list(entry.makes)}


def from_json(data: Any) -> Entry:
    """The entry that was written; raises ValueError for what is none."""
    try:
        known = {name: value for name, value in data.items() if name in Entry.__dataclass_fields__}
        owner = known.get("owner")
        makes = tuple(known.get("makes", ()))
        entry = Entry(**{**known, "makes": makes, "owner": Holder(**owner) if owner else None})
        texts = (entry.id, entry.model, entry.action, entry.settings, entry.status)
    except (AttributeError, TypeError) as error:
        raise ValueError("not an entry") from error
    if not all(isinstance(text, str) for text in texts) or entry.action not in ACTIONS:
        raise ValueError("not an entry")
    return entry


def shown(entry: Entry) -> dict[str, Any]:
    """What pages and programs are told of an entry; of its process only whether it is held back."""
    data = to_json(entry)
    del data["owner"], data["settings"]
    return data | {"is_held": entry.is_held, "is_here": entry.is_mine}


def finished(entry: Entry, outcome: str, **values: Any) -> Entry:
    """The entry at its end."""
    return replace(entry, status=ENDED, outcome=outcome, ended=utc_now(), **values)
