"""Edits of one caption: pure functions from text to text. `planning` runs them over many files.

An edit leaves text alone that it does not concern, to the byte; line ends stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.captions.tagtext import join_tags, split_tags, tag_key, with_tags, without_tags

LINE = re.compile(r"[^\r\n]+")


@dataclass(frozen=True)
class AddTags:
    """Puts tags in front or behind; those that a caption already has stay where they are."""

    tags: tuple[str, ...]
    where: Literal["front", "back"] = "front"
    separator: str = ","

    def __call__(self, text: str) -> str:
        return on_lines(text, self._line) if text.strip() else join_tags(self.tags, self.separator)

    def _line(self, line: str) -> str:
        return with_tags(line, self.tags, self.separator, in_front=self.where == "front")


@dataclass(frozen=True)
class RemoveTags:
    """Takes whole tags out; with `is_pattern`, those that a pattern matches from end to end."""

    tags: tuple[str, ...]
    is_pattern: bool = False
    separator: str = ","

    def __post_init__(self) -> None:
        for tag in self.tags if self.is_pattern else ():
            compiled(tag)

    def __call__(self, text: str) -> str:
        return on_lines(text, self._line)

    def _line(self, line: str) -> str:
        tags: Collection[str] = self.tags
        if self.is_pattern:
            patterns = [compiled(tag) for tag in self.tags]
            present = split_tags(line, self.separator)
            tags = [tag for tag in present if any(pattern.fullmatch(tag) for pattern in patterns)]
        left = without_tags(line, tags, [self.separator])
        return line if left == line.strip() else left


@dataclass(frozen=True)
class ReplaceTags:
    """Turns whole tags into others; one that is then there twice is left out the second time."""

    new_names: Mapping[str, str]
    separator: str = ","

    def __call__(self, text: str) -> str:
        return on_lines(text, self._line)

    def _line(self, line: str) -> str:
        names = {tag_key(old): new for old, new in self.new_names.items()}
        tags = split_tags(line, self.separator)
        if not any(tag_key(tag) in names for tag in tags):
            return line
        replaced = [names.get(tag_key(tag), tag) for tag in tags]
        return join_tags(without_repeats(replaced), self.separator)


@dataclass(frozen=True)
class ReplaceText:
    """Replaces text anywhere; with `is_pattern`, a regular expression with groups as \\1 or \\g<name>."""

    find: str
    by: str
    is_pattern: bool = False
    ignore_case: bool = False

    def __post_init__(self) -> None:
        # Run on nothing: a wrong pattern or replacement is found before any file is read.
        self._replaced("")

    def __call__(self, text: str) -> str:
        return self._replaced(text) if self.find else text

    def _replaced(self, text: str) -> str:
        pattern = compiled(self.find if self.is_pattern else re.escape(self.find), self.ignore_case)
        if not self.is_pattern:
            return pattern.sub(lambda _: self.by, text)
        try:
            return pattern.sub(self.by, text)
        except (re.error, IndexError) as error:
            raise UserError(
                f"the replacement cannot be used ({error}).",
                where=self.by,
                todo="Write a backslash twice, and name only groups that the pattern has.",
                code="bad-pattern",
            ) from error


@dataclass(frozen=True)
class ReorderTags:
    """Brings tags into an order: some to the front, the rest as it is, by name, or by how common each is."""

    front: tuple[str, ...] = ()
    rest: Literal["as is", "by name", "by count"] = "as is"
    counts: Mapping[str, int] | None = None
    keep: int = 0
    separator: str = ","

    def __call__(self, text: str) -> str:
        return on_lines(text, self._line)

    def _line(self, line: str) -> str:
        tags = split_tags(line, self.separator)
        kept, loose = tags[: self.keep], tags[self.keep :]
        places = {tag_key(tag): i for i, tag in enumerate(self.front)}
        leading = sorted((t for t in loose if tag_key(t) in places), key=lambda t: places[tag_key(t)])
        rest = [tag for tag in loose if tag_key(tag) not in places]
        if self.rest == "by name":
            rest.sort(key=tag_key)
        elif self.rest == "by count":
            counts = self.counts or {}
            rest.sort(key=lambda tag: (-counts.get(tag_key(tag), 0), tag_key(tag)))
        ordered = kept + leading + rest
        return line if ordered == tags else join_tags(ordered, self.separator)


@dataclass(frozen=True)
class DropRepeats:
    """Leaves out tags that a caption has already had."""

    separator: str = ","

    def __call__(self, text: str) -> str:
        return on_lines(text, self._line)

    def _line(self, line: str) -> str:
        tags = split_tags(line, self.separator)
        once = without_repeats(tags)
        return line if once == tags else join_tags(once, self.separator)


Edit = AddTags | RemoveTags | ReplaceTags | ReplaceText | ReorderTags | DropRepeats


@dataclass(frozen=True, slots=True)
class Found:
    """A place in a caption."""

    path: str
    start: int
    end: int
    text: str


def find_text(captions: Mapping[str, str], query: str, is_pattern: bool = False) -> list[Found]:
    """Every place of a text or pattern in the captions; case does not matter."""
    if not query:
        return []
    pattern = compiled(query if is_pattern else re.escape(query), ignore_case=True)
    return [
        Found(path, match.start(), match.end(), match[0])
        for path, text in captions.items()
        for match in pattern.finditer(text)
    ]


def find_tag(captions: Mapping[str, str], tag: str, separator: str = ",") -> list[str]:
    """The captions that have a tag, whatever its spelling."""
    key = tag_key(tag)
    return [
        path
        for path, text in captions.items()
        if any(tag_key(found) == key for line in text.splitlines() for found in split_tags(line, separator))
    ]


def on_lines(text: str, change: Callable[[str], str]) -> str:
    """`change` run on each line that holds something; line ends and blank lines stay."""
    return LINE.sub(lambda match: change(match[0]) if match[0].strip() else match[0], text)


def without_repeats(tags: Sequence[str]) -> list[str]:
    """Each tag where it stands first."""
    seen: dict[str, str] = {}
    for tag in tags:
        seen.setdefault(tag_key(tag), tag)
    return list(seen.values())


def compiled(pattern: str, ignore_case: bool = False) -> re.Pattern[str]:
    """The pattern, or a sentence about what is wrong with it."""
    try:
        return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(
            f"this is no valid pattern ({error}).",
            where=pattern,
            todo="Put a backslash before signs that are meant as such: ( ) [ ] . * + ? ^ $ | \\",
            code="bad-pattern",
        ) from error
