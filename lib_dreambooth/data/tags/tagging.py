"""Tags for a folder of pictures: which captions may be written, then writing them batch by batch with undo.

A caption that a person wrote is never touched unless the policy says so. One that a tagger wrote is known by
the journal, and by nobody having edited it since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.captions.decode import UNDECODABLE, UNSURE, Decoded, encode
from lib_dreambooth.data.captions.read import find_captions
from lib_dreambooth.data.captions.tagtext import join_tags
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.pictures.decoding import decode
from lib_dreambooth.data.tags.edits import AddTags
from lib_dreambooth.data.tags.journal import Change, Journal
from lib_dreambooth.data.tags.planning import read_texts
from lib_dreambooth.data.tags.tagger import TagChoice, Tagger, choose_tags

# keep: only where there is no caption. refresh: also where the caption is a tagger's own.
# merge: new tags behind what is there. replace: every caption, hand-made ones too.
Policy = Literal["keep", "refresh", "merge", "replace"]
State = Literal["none", "tagger", "hand"]
ACTION = "Tag with"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture with the caption file it has or would get, and who wrote that."""

    picture: str
    caption: str
    before: bytes | None
    text: Decoded
    state: State


@dataclass(frozen=True, slots=True)
class TaggingPlan:
    """Which pictures will be tagged, and which keep their captions: for asking before anything is written."""

    todo: tuple[Candidate, ...]
    kept: tuple[Candidate, ...]
    findings: tuple[Finding, ...]

    @property
    def hand_made(self) -> int:
        """How many captions that a person wrote would be changed."""
        return sum(candidate.state == "hand" for candidate in self.todo)


@dataclass(slots=True)
class Tagged:
    """What was done. `written` maps each caption file to its new text."""

    written: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    is_cancelled: bool = False


def plan_tagging(
    pictures: Sequence[str], policy: Policy, journal: Journal, extension: str = ".txt"
) -> TaggingPlan:
    """Sorts pictures by whether the policy lets their captions be written."""
    paths = {}
    for picture, found in zip(pictures, find_captions(pictures), strict=True):
        paths[picture] = str(found or Path(picture).with_suffix(extension))
    texts, findings = read_texts(list(paths.values()))
    own = written_by_tagger(journal)
    todo: list[Candidate] = []
    kept: list[Candidate] = []
    for picture, path in paths.items():
        if path not in texts:
            continue
        before, text = texts[path]
        state: State = "hand"
        if before is None or not text.text.strip():
            state = "none"
        elif own.get(path) == before:
            state = "tagger"
        candidate = Candidate(picture, path, before, text, state)
        (todo if _may_write(candidate, policy) else kept).append(candidate)
    return TaggingPlan(tuple(todo), tuple(kept), tuple(findings))


def tag_pictures(
    plan: TaggingPlan,
    policy: Policy,
    tagger: Tagger,
    choice: TagChoice,
    journal: Journal,
    open_picture: Callable[[str], Image.Image],
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tagged:
    """Tags the planned pictures. Stops between batches when asked; what is written by then stays.

    A picture that cannot be opened is named in the findings and the others go on.
    """
    result = Tagged(findings=list(plan.findings))
    operation = journal.begin(f"{ACTION} {tagger.name}")
    total = len(plan.todo)
    for start in range(0, total, tagger.batch_size):
        if should_stop():
            result.is_cancelled = True
            break
        batch = plan.todo[start : start + tagger.batch_size]
        opened = _open(batch, open_picture, result.findings)
        scores = tagger.score([picture for _, picture in opened]) if opened else []
        texts = {}
        changes = []
        for (candidate, _), score in zip(opened, scores, strict=True):
            text = new_text(candidate, choose_tags(score, choice), policy)
            texts[candidate.caption] = text
            changes.append(Change(candidate.caption, candidate.before, encode(text, candidate.text)[0]))
        failed = operation.change(changes)
        result.findings += [_not_written(path, error) for path, error in failed.items()]
        result.written |= {path: text for path, text in texts.items() if path not in failed}
        on_progress(min(start + tagger.batch_size, total), total)
    return result


def open_upright(path: str) -> Image.Image:
    """A picture as a tagger gets it: upright, in sRGB, with its transparency."""
    picture = decode(path)
    if picture.alpha is None:
        return picture.rgb
    whole = picture.rgb.copy()
    whole.putalpha(picture.alpha)
    return whole


def new_text(candidate: Candidate, tags: Sequence[str], policy: Policy) -> str:
    """The caption after tagging."""
    if policy == "merge" and candidate.state != "none":
        return AddTags(tuple(tags), "back")(candidate.text.text)
    return join_tags(tags)


def written_by_tagger(journal: Journal) -> dict[str, bytes | None]:
    """What taggers last wrote into each caption file, as far as the journal reaches."""
    found: dict[str, bytes | None] = {}
    for entry in reversed(journal.entries()):
        if entry.action.startswith(ACTION) and not entry.is_undone:
            found |= {change.path: change.after for change in entry.changes}
    return found


def _may_write(candidate: Candidate, policy: Policy) -> bool:
    if candidate.caption.lower().endswith(".json"):
        return False
    if candidate.state == "none" or policy == "replace":
        return True
    if policy == "merge":
        # Text that could not be read for certain is not written back.
        return not {UNDECODABLE, UNSURE} & set(candidate.text.problems)
    return policy == "refresh" and candidate.state == "tagger"


def _open(
    batch: Sequence[Candidate], open_picture: Callable[[str], Image.Image], findings: list[Finding]
) -> list[tuple[Candidate, Image.Image]]:
    opened = []
    for candidate in batch:
        try:
            opened.append((candidate, open_picture(candidate.picture)))
        except UserError as error:
            findings.append(
                Finding(
                    "not-tagged",
                    "warning",
                    (candidate.picture,),
                    f"Not tagged: {error.what}",
                    todo=error.todo,
                )
            )
    return opened


def _not_written(path: str, error: UserError) -> Finding:
    return Finding("caption-not-written", "error", (path,), f"Not written: {error.what}", todo=error.todo)
