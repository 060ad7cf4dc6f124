"""A caption out of a JSON value or a file's name, the two sources that are not plain text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

TEXT_KEYS = ("caption", "text", "prompt", "description")
TAG_KEYS = ("tags", "tag_string", "tag_string_general")
# A JSON of tags holds a few kilobytes; this is far above any caption and far below what hurts.
LARGEST_JSON_CHARS = 4_000_000

# As in the WebUI, but digits that begin a word stay: `1girl` is a tag.
LEADING_NUMBERS = re.compile(r"^(?:\d+$|(?=[-\d])[-_\s\d]*[-_\s])")
COPY_NUMBER = re.compile(r"\s*\(\d+\)$")
FACE_BOX = re.compile(r"_\d+_\d+_\d+_\d+$")


class NotACaption(ValueError):
    """A JSON value holds no caption; the message says why."""


def caption_from_json(text: str, separator: str = ",") -> str:
    """The caption in the text of a picture's own `.json` file; raises NotACaption."""
    if len(text) > LARGEST_JSON_CHARS:
        raise NotACaption("it is far too long for a caption")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotACaption(f"it is not valid JSON ({type(error).__name__})") from error
    return caption_from_record(value, separator)


def caption_from_record(value: Any, separator: str = ",") -> str:
    """The caption of one JSON value: a text, a list of tags, or an object with a text, tags or both.

    Text and tags are joined by the separator, the text first. Raises NotACaption for anything else.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _joined_tags(value, "the list", separator)
    if not isinstance(value, Mapping):
        raise NotACaption(f"it holds {_kind(value)} where a text, a list or an object belongs")
    parts = [_first(value, TEXT_KEYS, separator), _first(value, TAG_KEYS, separator)]
    if parts == [None, None]:
        raise NotACaption(f"it has none of the keys {', '.join(TEXT_KEYS + TAG_KEYS[:1])}")
    return f"{separator.strip()} ".join(part for part in parts if part)


def caption_from_name(stem: str) -> str:
    """What a file's name says: without numbers in front and without the "(2)" that copying adds."""
    # macOS stores names decomposed, which a tokenizer reads as other words.
    whole = unicodedata.normalize("NFC", stem)
    return COPY_NUMBER.sub("", LEADING_NUMBERS.sub("", whole)).strip()


def without_face_box(stem: str) -> str:
    """The stem without the `_x_y_width_height` that face-cropping tools add."""
    return FACE_BOX.sub("", stem)


def _first(value: Mapping[str, Any], keys: tuple[str, ...], separator: str) -> str | None:
    for key in keys:
        found = value.get(key)
        if found is None:
            continue
        if isinstance(found, str):
            # Booru dumps separate tags by spaces and write spaces inside a tag as underscores.
            is_booru = key.startswith("tag_string")
            return f"{separator.strip()} ".join(found.split()) if is_booru else found
        if isinstance(found, (list, Mapping)):
            return _joined_tags(list(found), f"`{key}`", separator)
        raise NotACaption(f"`{key}` is {_kind(found)} where a text or a list belongs")
    return None


def _joined_tags(tags: list[Any], place: str, separator: str) -> str:
    wrong = next((tag for tag in tags if not isinstance(tag, str)), None)
    if wrong is not None:
        raise NotACaption(f"{place} holds {_kind(wrong)} where a text belongs")
    return f"{separator.strip()} ".join(tag for tag in tags if tag.strip())


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", type(None): "null"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else "a text")
