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
# What these say does not reach the page, or not as sentences of their own; everything else is translated.
ELSEWHERE = {
    "api/": "for programs: the page sends nothing that these refuse",
    "app": "for who starts the program in a console",
    "assets/": "the scripts that made the miniature",
    "cli/": "for the console, which speaks English",
    "environments/": "for the console, which speaks English",
    "hosts/placeholder": "a page where packages are missing, before there are words",
    "hosts/ui_command": "for the console, which speaks English",
    "jobs/report/": "the report and its text for boards have words of their own",
    "settings/json_schema": "for programs",
    "settings/reference": "makes docs/settings.md",
    "settings/sections/": "help, translated by its path",
    "settings/writing": "comments in files",
    "tools/convert": "a command alone",
    "tools/extract": "a command alone",
    "tools/mini": "a command alone",
    "ui/": "notes of the page's own Python",
}
# Single ones, with why.
EXCEPTIONS = {
    "{1} class {2} that will not be read.": "two halves that are put together for one and for many",
    "{1} DoRA, or choose another file.": "begins with a word that is chosen",
    "{1}, or set it to auto.": "begins with what is to be changed",
    "It would with {1}.": "in a warning that is recognised as a whole",
    "# What this model is trained from. Written when it was created.": "a comment in a file",
    "Tags such as <lora:...> in a prompt do nothing here; LoRA files are given beside it.": "the log",
    "The VAE overflows in float16; it computes in float32 from now on.": "the log",
    "Not enough memory to decode the picture; it is tried again in smaller pieces.": "the log",
    "the file cannot be edited in place.": "the program writes it anew",
    'there is no edit "{1}".': "for programs: the page knows its edits",
    "is not an upload.": "for programs: the page makes its names itself",
    "carries no settings of this extension.": "a command alone",
    "Choose a file that was saved with full metadata, or import a file of kohya's scripts.": "a command",
    "Start it without accelerate launch.": "for who starts the program in a console",
    "length_rule: {1} = {2} is not a rule.": "in preset files that a person wrote",
    "length_rule needs visits_per_picture.": "in preset files that a person wrote",
    "Add it, such as 100.": "in preset files that a person wrote",
    "{1} is not a version number.": "in files that a person wrote",
    "Write version = {1}, or leave the line out.": "in files that a person wrote",
    'Write [{"prompt": "..."}, ...].': "the same in every language",
}
LOGGED = re.compile(r"%[sd]")
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


@functools.lru_cache(maxsize=1)
def speakers() -> dict[str, list[str]]:
    """The sentences of every module whose words may reach the page."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        if not name.startswith(tuple(ELSEWHERE)):
            # What is logged has its values in another form.
            found[name] = [text for text in spoken.sentences(path) if not LOGGED.search(text)]
    return found


@pytest.mark.parametrize("language", languages())
def test_what_can_reach_the_page_is_translated(language: str) -> None:
    known = messages(language).keys() | catalogue(language)["words"].keys() | EXCEPTIONS.keys()
    lacking = {name: [text for text in said if text not in known] for name, said in speakers().items()}
    assert {name: texts for name, texts in lacking.items() if texts} == {}


def test_exceptions_are_said_somewhere_and_are_not_translated() -> None:
    said = {text for texts in speakers().values() for text in texts}
    assert sorted(EXCEPTIONS.keys() - said) == []
    assert sorted(EXCEPTIONS.keys() & messages("ja").keys()) == []
    modules = [path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py")]
    assert [part for part in ELSEWHERE if not any(name.startswith(part) for name in modules)] == []


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
