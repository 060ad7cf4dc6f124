"""Taggers that lie on this machine, one that may be fetched when somebody asks, and tagging as a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import Cancelled, UserError
from lib_dreambooth.base.fetching import fetch_into
from lib_dreambooth.base.host import Host, HostPaths, HostTagger
from lib_dreambooth.data.tags.download import MODEL, TAG_LIST, Fetch, obtain
from lib_dreambooth.data.tags.places import MOST_OPERATIONS, pictures_in
from lib_dreambooth.data.tags.tagger import CallableTagger, TagChoice, Tagger, TagScores
from lib_dreambooth.data.tags.tagging import TaggingPlan, open_upright, plan_tagging, tag_pictures
from lib_dreambooth.data.tags.wd14 import open_wd14
from lib_dreambooth.jobs.captioning import journal_of, shown_name
from lib_dreambooth.jobs.made_files import id_of
from lib_dreambooth.jobs.tasks import Watching

# Ours, and those of the WebUI's best-known tagger extension.
FOLDERS = ("taggers", "TaggerOnnx", "interrogators")
LISTS = "selected_tags.csv"
POLICIES = ("keep", "refresh", "merge", "replace")
# What the host's own tagger is called among the ids.
HOSTS = "host"
RATING = "rating:"


@dataclass(frozen=True)
class TaggerFiles:
    """A model with its list of tags."""

    id: str
    name: str
    model: Path
    tags: Path


def taggers_of(paths: HostPaths) -> list[TaggerFiles]:
    """Every tagger below the host's models, by name."""
    return sorted(_found(paths), key=lambda one: one.name.casefold())


def tagger_of(paths: HostPaths, tagger_id: str) -> TaggerFiles:
    """The tagger of an id; raises UserError."""
    found = next((one for one in taggers_of(paths) if one.id == tagger_id), None)
    if found is None:
        raise UserError(
            "there is no such tagger (any more).",
            where="tagger",
            todo="Choose one of the list, or download one.",
            code="no-such-file",
        )
    return found


def place_for_download(paths: HostPaths) -> Path:
    """Where a tagger goes that is fetched."""
    return paths.models / FOLDERS[0]


def fetch_tagger(paths: HostPaths, watching: Watching, fetch: Fetch | None = None) -> dict[str, Any]:
    """Both files of the tagger that is known by its bytes; raises UserError."""
    folder = place_for_download(paths)
    get = fetch or fetcher(watching, MODEL.size_bytes)
    obtain(TAG_LIST, folder, get)
    model = obtain(MODEL, folder, get)
    return {"id": id_of(model), "name": model.stem}


def host_tagger(host: Host) -> HostTagger:
    """The host's own tagger; raises UserError where it has none."""
    found = host.tagger
    if found is None:
        raise UserError("this host has no tagger of its own.", where="tagger", todo="Choose one of the list.")
    return found


def fetch_host_tagger(host: Host) -> dict[str, Any]:
    """Has the host fetch the file of its own tagger; raises UserError."""
    tagger = host_tagger(host)
    try:
        tagger.fetch()
    except Exception as error:  # whatever the host's own download runs into
        raise UserError(
            f"could not be downloaded ({str(error)[:200]}).",
            where=tagger.source,
            todo="Look at the connection, or fetch the file by hand and put it into that folder.",
            code="no-network",
        ) from error
    return {"id": HOSTS, "name": tagger.name}


def tag_folder_by_host(
    host: Host, folder: Path, policy: str, choice: TagChoice, watching: Watching
) -> dict[str, Any]:
    """The same as `tag_folder` with the host's own tagger, while it lends its card."""
    tagger = host_tagger(host)
    with host.lend_gpu(), tagger.opened() as score:
        found = CallableTagger(tagger.name, lambda picture: told_apart(score(picture)))
        return tag_folder(folder, policy, choice, watching, lambda: found)


def told_apart(scores: Mapping[str, float] | str) -> TagScores | str:
    """Scores with the ratings for themselves."""
    if isinstance(scores, str):
        return scores
    ratings = {tag.removeprefix(RATING): one for tag, one in scores.items() if tag.startswith(RATING)}
    return TagScores({tag: one for tag, one in scores.items() if not tag.startswith(RATING)}, {}, ratings)


def fetcher(watching: Watching, total: int) -> Fetch:
    """Fetches over the network, piece by piece."""

    def fetch(url: str, target: Path) -> None:
        done = 0

        def count(num_bytes: int) -> None:
            nonlocal done
            done += num_bytes
            watching.tell(min(done, total), total)

        todo = "Look at the connection, or fetch the file by hand and put it into that folder."
        fetch_into(url, target, count, todo=todo)

    return fetch


def planned_tagging(folder: Path, policy: str) -> TaggingPlan:
    """Which captions would be written; raises UserError."""
    if policy not in POLICIES:
        raise UserError("is not a choice.", where="existing", todo=f"Choose one of: {', '.join(POLICIES)}.")
    return plan_tagging(pictures_in(folder), policy, journal_of(folder))  # type: ignore[arg-type]


def tag_folder(
    folder: Path,
    policy: str,
    choice: TagChoice,
    watching: Watching,
    open_tagger: Callable[[], Tagger],
) -> dict[str, Any]:
    """Writes the captions, as one edit that can be taken back; what is written before a stop stays."""
    plan, journal = planned_tagging(folder, policy), journal_of(folder)
    done = tag_pictures(
        plan,
        policy,  # type: ignore[arg-type]
        open_tagger(),
        choice,
        journal,
        open_upright,
        watching.should_stop,
        lambda count, total: watching.count(count, total),
    )
    journal.forget(MOST_OPERATIONS)
    if done.is_cancelled and not done.written:
        raise Cancelled
    return {
        "written": len(done.written),
        "files": {shown_name(path, folder): text for path, text in list(done.written.items())[:200]},
        "findings": [finding.to_json() for finding in done.findings],
    }


def opener(files: TaggerFiles) -> Callable[[], Tagger]:
    """Opens a tagger when it is its turn."""
    return lambda: open_wd14(files.model, files.tags)


def plan_shown(plan: TaggingPlan) -> dict[str, Any]:
    """What tagging would do."""
    return {
        "to_write": len(plan.todo),
        "kept": len(plan.kept),
        "hand_made": plan.hand_made,
        "findings": [finding.to_json() for finding in plan.findings],
    }


def _found(paths: HostPaths) -> Iterator[TaggerFiles]:
    for name in FOLDERS:
        for model in sorted((paths.models / name).rglob("*.onnx")):
            tags = next((one for one in _lists(model) if one.is_file()), None)
            if tags is not None:
                label = model.stem if model.stem != "model" else model.parent.name
                yield TaggerFiles(id_of(model), label, model, tags)


def _lists(model: Path) -> tuple[Path, ...]:
    return model.with_suffix(".csv"), model.with_name(LISTS)
