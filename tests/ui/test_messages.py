"""What the program says to people in English is known to the page in every language, sentence by sentence."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from lib_dreambooth.settings.preset import listed
from lib_dreambooth.ui.words import catalogue, languages
from tests.ui import spoken

PACKAGE = Path(__file__).resolve().parents[2] / "lib_dreambooth"
# What these say reaches the page often and is translated whole. Of the rest, what is met most.
SPEAKERS = (
    "settings/contradictions", "settings/notices", "settings/readiness", "settings/convert",
    "data/health/captions", "data/health/exposure", "data/health/foldernames", "data/health/pictures",
    "data/health/tagtable", "data/scanning/problems", "data/captions/preview", "data/captions/problems",
    "data/sources/folders", "data/sources/metadata", "data/sources/pasted", "data/sources/taking_in",
    "data/holdout", "data/cache/latents", "jobs/completing", "jobs/going_on", "jobs/new_words",
    "jobs/on_resume", "jobs/orders", "jobs/queue", "jobs/removing", "jobs/standing", "jobs/stopped",
    "jobs/tasks", "jobs/worker", "base/files", "runs/lock", "runs/names", "training/precision/devices",
    "training/resume_rules",
)  # fmt: skip
PLACES = re.compile(r"\{(\d+)#?\}")


@functools.lru_cache(maxsize=1)
def everything() -> set[str]:
    """Every text in the program, and what its presets are for."""
    texts = [text for path in sorted(PACKAGE.rglob("*.py")) for text in spoken.templates(path)]
    return spoken.with_sentences([*texts, *(preset.about for preset in listed())])


@functools.cache
def messages(language: str) -> dict[str, str]:
    """The sentences that are known in a language."""
    return dict(catalogue(language)["messages"])


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_what_is_said_often_is_translated(speaker: str) -> None:
    said = spoken.sentences(PACKAGE / f"{speaker}.py")
    assert said
    for language in languages():
        assert [text for text in said if text not in messages(language)] == []


@pytest.mark.parametrize("language", languages())
def test_what_presets_are_for_is_translated(language: str) -> None:
    assert [preset.name for preset in listed() if preset.about not in messages(language)] == []


@pytest.mark.slow
def test_no_message_is_translated_that_nobody_says() -> None:
    known = everything()
    patterns = spoken.patterns(known)
    assert [message for message in messages("ja") if not spoken.is_said_by(message, known, patterns)] == []


def test_languages_know_the_same_messages_with_the_same_values() -> None:
    first, *others = map(messages, languages())
    for english, own in first.items():
        values = sorted(set(PLACES.findall(own)))
        assert set(values) <= set(PLACES.findall(english)), english
        for other in others:
            assert sorted(set(PLACES.findall(other[english]))) == values, english
    assert all(other.keys() == first.keys() for other in others)


def test_sentences_are_read_off_a_source(tmp_path: Path) -> None:
    source = tmp_path / "speaker.py"
    lines = (
        '"""A module."""',
        "def say(name, count):",
        '    """Says it."""',
        """    yield f"{name} of {count:,} pictures {'is' if count == 1 else 'are'} gone." """,
        "    return 'no words'",
    )
    source.write_text("\n".join(lines), encoding="utf-8")
    assert spoken.sentences(source) == ["{1} of {2} pictures {3} gone."]
