"""A caption, a prompt template and two tokens become the words of a training or class picture.

The rule table is in docs/captions.md, and tests/data_captions/test_prompts.py holds it row by row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lib_dreambooth.data.captions.words import find_all, find_word, has_word

PLACEHOLDER = "[filewords]"
PLACEHOLDER_PATTERN = re.compile(re.escape(PLACEHOLDER), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Naming:
    """What the subject is called (`sks`) and what it is one of (`dog`); either may be empty."""

    instance: str = ""
    class_: str = ""

    @property
    def both(self) -> str:
        """The subject's full name, `sks dog`; a class word that the token already holds is not said twice."""
        instance, class_ = " ".join(self.instance.split()), " ".join(self.class_.split())
        if not class_ or has_word(instance, class_):
            return instance
        return f"{instance} {class_}" if instance else ""


def instance_prompt(caption: str, template: str, naming: Naming) -> str:
    """What a training picture is described by, before the caption operations.

    A template without the placeholder is used as it stands. With it, a template that names the subject or its
    class is filled first and the tokens looked for in the whole; any other takes the finished caption.
    """
    if not template.strip():
        return _named(caption, naming)
    if not PLACEHOLDER_PATTERN.search(template):
        return template.strip()
    own_words = PLACEHOLDER_PATTERN.sub(" ", template)
    if _mentions(own_words, naming):
        return _named(fill(template, caption), naming)
    return fill(template, _named(caption, naming))


def class_prompt(caption: str, template: str, naming: Naming) -> str:
    """What a class picture is described by: the class and never the subject's own token."""
    if not template.strip():
        return _of_class(caption, naming)
    if not PLACEHOLDER_PATTERN.search(template):
        return template.strip()
    own_words = PLACEHOLDER_PATTERN.sub(" ", template)
    if _mentions(own_words, naming):
        return _of_class(fill(template, caption), naming)
    return fill(template, _of_class(caption, naming))


def fill(template: str, caption: str) -> str:
    """The template with the caption in the placeholder's place; an empty one leaves no stray comma."""
    filled = PLACEHOLDER_PATTERN.sub(lambda _: caption, template)
    return tidy(filled) if not caption.strip() else filled.strip()


def tidy(text: str) -> str:
    """Without doubled or outer commas and spaces, as words taken out leave them."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s*,(\s*,)+", ",", text)
    text = re.sub(r"\s+,", ",", text)
    return text.strip(" \t,")


def _mentions(text: str, naming: Naming) -> bool:
    return any(has_word(text, token) for token in (naming.instance, naming.class_) if token.strip())


def _named(text: str, naming: Naming) -> str:
    """`text` with the subject's full name in it exactly once where tokens are given."""
    name = naming.both
    if not name or has_word(text, name):
        return text.strip()
    token, kind = naming.instance, naming.class_
    place = find_word(text, token)
    if place is not None:
        # The class may be said elsewhere ("sks, a dog on grass"); nothing is missing then.
        return text.strip() if not kind.strip() or has_word(text, kind) else _put(text, place, name)
    if kind.strip():
        place = find_word(text, kind)
        if place is not None:
            return _put(text, place, name)
    return tidy(f"{name}, {text}")


def _of_class(text: str, naming: Naming) -> str:
    """`text` with every mention of the subject turned into its class, which is named at least once."""
    kind = " ".join(naming.class_.split())
    token = naming.instance.strip()
    if token:
        text = _replace_all(text, naming.both, kind)
        named_elsewhere = bool(kind) and has_word(_replace_all(text, token, ""), kind)
        if named_elsewhere:
            text = _without_lone_part(text, token)
        text = tidy(_replace_all(text, token, kind))
    while kind and has_word(text, f"{kind} {kind}"):
        text = _replace_all(text, f"{kind} {kind}", kind)
    if not kind or has_word(text, kind):
        return text.strip()
    return tidy(f"{kind}, {text}")


def _put(text: str, place: re.Match[str], name: str) -> str:
    before, after = text[: place.start()], text[place.end() :]
    # Scripts without spaces: 白い猫 takes the name as "白い sks 猫".
    left = " " if before and before[-1].isalnum() and name[0].isascii() else ""
    right = " " if after and after[0].isalnum() and name[-1].isascii() else ""
    return (before + left + name + right + after).strip()


def _replace_all(text: str, word: str, by: str) -> str:
    for place in reversed(find_all(text, word)):
        text = text[: place.start()] + by + text[place.end() :]
    return text


def _without_lone_part(text: str, token: str) -> str:
    """Without the comma parts that say nothing but the token."""
    alone = " ".join(token.split()).casefold()
    return ",".join(part for part in text.split(",") if " ".join(part.split()).casefold() != alone)
