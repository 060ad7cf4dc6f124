"""How the new words of a run stand in its captions: in front of them, or in sentences in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.captions.decode import decode
from lib_dreambooth.data.captions.prompts import PLACEHOLDER_PATTERN, fill
from lib_dreambooth.data.captions.words import has_word
from lib_dreambooth.settings.schema import Concept, Run

NAME = "[name]"
WHERE = "parts.words.template_file"
# As people prompt for things and persons in photos; the word alone among them.
OBJECT = (
    NAME,
    f"a photo of {NAME}",
    f"a close-up photo of {NAME}",
    f"a picture of {NAME}",
    f"{NAME} in the middle of the picture",
    f"a photo of {NAME}, seen from the front",
)
STYLE = (
    f"by {NAME}",
    f"a picture by {NAME}",
    f"a picture in the style of {NAME}",
    f"an illustration in the style of {NAME}",
    f"a landscape in the style of {NAME}",
    f"a portrait in the style of {NAME}",
)


@dataclass(frozen=True)
class Wording:
    """The words that the pictures of a concept teach, and the sentences for them, if there are any."""

    words: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """All words beside each other."""
        return " ".join(self.words)


NO_WORDS = Wording()


def wording_of(run: Run, concept: Concept, templates: Sequence[str]) -> Wording:
    """How the pictures of one concept call what they show."""
    words = words_of(run, concept) if concept.role != "class" else ()
    if not words:
        return NO_WORDS
    name = " ".join(words)
    return Wording(words, tuple(dict.fromkeys(template.replace(NAME, name) for template in templates)))


def words_of(run: Run, concept: Concept) -> tuple[str, ...]:
    """The words that a concept's own settings name; else those that none names."""
    if not run.parts.words.train:
        return ()
    names = tuple(word.name for word in run.words)
    own = tuple(name for name in names if is_named_by(concept, name))
    trained = [one for one in run.concepts if one.role != "class"]
    return own or tuple(name for name in names if not any(is_named_by(one, name) for one in trained))


def is_named_by(concept: Concept, name: str) -> bool:
    """Whether a concept is about a word."""
    return has_word(concept.token, name) or has_word(concept.prompt, name)


def templates_of(run: Run) -> tuple[str, ...]:
    """The sentences of a run, with [name] in each; none where captions stay what they are.

    Raises UserError for a file that cannot be used.
    """
    wanted = run.parts.words
    if not wanted.train or wanted.template == "captions":
        return ()
    if wanted.template == "file":
        return read_templates(Path(wanted.template_file))
    return OBJECT if wanted.template == "object" else STYLE


def read_templates(path: Path) -> tuple[str, ...]:
    """One template a line. Raises FileError unless each has [name] in it."""
    try:
        text = decode(path.read_bytes()).text
    except OSError as error:
        raise FileError(
            f"cannot be read ({error.strerror or type(error).__name__}).",
            where=str(path),
            todo="Choose a text file with one template a line.",
            code="unreadable-file",
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    nameless = [line for line in lines if NAME not in line]
    if nameless or not lines:
        what = f'has a line without {NAME}: "{nameless[0]}"' if nameless else "has no lines"
        raise UserError(
            f"{path.name} {what}.",
            where=WHERE,
            todo=f"Write {NAME} into every line, where the word is to stand; [filewords] is the caption.",
            code="bad-template",
        )
    return tuple(lines)


def worded(text: str, sentence: str, words: Sequence[str]) -> str:
    """A caption in its sentence, or with those of the words in front that it lacks."""
    if sentence:
        return fill(sentence, text) if PLACEHOLDER_PATTERN.search(sentence) else sentence
    lacking = " ".join(word for word in words if not has_word(text, word))
    return ", ".join(part for part in (lacking, text) if part.strip())
