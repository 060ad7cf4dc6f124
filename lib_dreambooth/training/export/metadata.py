"""Everything that a file says about itself, as much of it as the user wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lib_dreambooth import __version__
from lib_dreambooth.data.captions.words import find_all, has_word
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export import kohya_metadata as kohya
from lib_dreambooth.training.export.facts import BaseFacts, DataFacts, Session
from lib_dreambooth.training.export.model_spec import (
    HASH_KEY,
    HASH_START,
    THUMBNAIL_KEY,
    model_spec,
    thumbnail_url,
)
from lib_dreambooth.training.export.own_settings import SETTINGS_KEY, settings_text
from lib_dreambooth.training.export.privacy import without_paths
from lib_dreambooth.training.export.result import ADAPTER, EMBEDDING

VERSION_KEY = "dreambooth_version"


@dataclass(frozen=True)
class About:
    """One file: what it is called, of which step and epoch, when it was written; the name has no counter."""

    kind: str
    stem: str
    name: str
    step: int
    epoch: int
    now: float
    thumbnail: bytes = b""
    # What prompts call the words that have files of their own.
    called: Mapping[str, str] = field(default_factory=dict)


def metadata_for(
    run: Run, base: BaseFacts, data: DataFacts, session: Session, about: About
) -> dict[str, str]:
    """All keys but the hashes, which follow from the tensors."""
    content = run.metadata.content
    is_adapter = about.kind == ADAPTER
    if content == "none":
        return stripped(base, is_adapter)
    trained: dict[str, Any] = kohya.version_metadata(base)
    if is_adapter:
        trained |= kohya.network_metadata(run, base)
    trained["ss_output_name"] = about.stem
    if content == "plain":
        trained = {key: trained[key] for key in kohya.NEEDED if key in trained}
    else:
        trained |= full(run, base, data, session, about)
    # Hosts call a word as its file is called.
    trigger = about.stem if about.kind == EMBEDDING else trigger_text(run, about.called)
    spec = model_spec(run, base, about.kind, about.name, about.now, trigger)
    if run.metadata.thumbnail and about.thumbnail:
        spec[THUMBNAIL_KEY] = thumbnail_url(about.thumbnail)
    found = {**{key: kohya.said(value) for key, value in trained.items()}, **spec}
    if content == "full":
        found |= {VERSION_KEY: __version__, SETTINGS_KEY: settings_text(run)}
    return found


def full(run: Run, base: BaseFacts, data: DataFacts, session: Session, about: About) -> dict[str, Any]:
    """What only people and other trainers ask for."""
    return {
        "ss_session_id": session.id,
        "ss_training_started_at": session.started_at,
        "ss_training_finished_at": about.now,
        "ss_steps": about.step,
        "ss_epoch": about.epoch,
        **kohya.base_metadata(base),
        **kohya.learning_metadata(run, base, data, session),
        **kohya.objective_metadata(run, base),
        **kohya.picture_metadata(run, data),
        **kohya.data_metadata(data),
    }


def stripped(base: BaseFacts, is_adapter: bool) -> dict[str, str]:
    """What cannot be left out: without it hosts would take the file for another family or prediction."""
    if is_adapter:
        return {key: kohya.said(value) for key, value in kohya.version_metadata(base).items()}
    needs_prediction = base.prediction != "epsilon" or base.family == "sd2"
    return {"modelspec.prediction_type": base.prediction} if needs_prediction else {}


def spec_hash(model_hash: str) -> dict[str, str]:
    """The hash over the tensors in the form of the standard."""
    return {HASH_KEY: HASH_START + model_hash}


def trigger_text(run: Run, called: Mapping[str, str] | None = None) -> str:
    """The words that call the subject: those given, else the concepts' tokens and new words.

    `called` says what prompts call words that have files of their own.
    """
    if run.metadata.trigger:
        return renamed(without_paths(run.metadata.trigger), called or {})
    tokens = [concept.token.strip() for concept in run.concepts if concept.role == "train"]
    names = [word.name.strip() for word in run.words if run.parts.words.train]
    tokens += [name for name in names if not any(has_word(token, name) for token in tokens)]
    return renamed(", ".join(dict.fromkeys(token for token in tokens if token)), called or {})


def renamed(text: str, called: Mapping[str, str]) -> str:
    """The text with every word under the name that it is called by."""
    places = [(place, name) for word, name in called.items() for place in find_all(text, word)]
    for place, name in sorted(places, key=lambda found: -found[0].start()):
        text = text[: place.start()] + name + text[place.end() :]
    return text
