"""The options of a training script's command, as shells of Windows, macOS and Linux write it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SCRIPT = re.compile(r"(?:^|[\\/\s\"'])((?:[a-z0-9]+_)*(?:train|inversion|tune)[a-z0-9_]*\.py)(?=[\s\"']|$)")
ASSIGNMENT = re.compile(
    r"^\s*(?:export\s+|set\s+|\$env:|\$)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*?)\s*;?\s*$", re.MULTILINE
)
VARIABLE = re.compile(r"\$\{(\w+)\}|\$env:(\w+)|\$(\w+)|%(\w+)%")
CONTINUED = re.compile(r"(?:\\|\^|`)[ \t]*\r?\n")
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Command:
    """A script's name and its options in order."""

    script: str
    options: tuple[tuple[str, Any], ...]
    # Options of the launcher, which stand before the script.
    launch: tuple[tuple[str, Any], ...] = ()


def is_command(text: str) -> bool:
    """Whether a text starts a training script."""
    return bool(SCRIPT.search(unfolded(text))) and "--" in text


def unfolded(text: str) -> str:
    """The text with continued lines joined."""
    return CONTINUED.sub(" ", text)


def command_of(text: str) -> Command | None:
    """The last training command in a text, with the variables that were set before it put in."""
    joined = unfolded(text)
    variables: dict[str, str] = {}
    last = None
    for line in joined.splitlines():
        found = SCRIPT.search(line)
        if found and not line.lstrip().startswith(("#", "::", "REM ", "rem ")):
            # The quote that may close the script's path is not part of the options.
            before = filled(line[: found.start(1)], variables)
            last = (found[1], filled(line[found.end() :].lstrip("\"'"), variables), before)
            continue
        assigned = ASSIGNMENT.match(line)
        if assigned:
            variables[assigned["name"].lower()] = unquoted(filled(assigned["value"], variables))
    if last is None:
        return None
    name, options, before = last
    launch = tuple(part for part in options_of(without_path(before)) if part[0])
    return Command(name, tuple(options_of(options)), launch)


def without_path(before: str) -> str:
    """What stands before a script without the beginning of the script's own path."""
    for quote in "\"'":
        if before.count(quote) % 2:
            return before[: before.rindex(quote)]
    return before if before[-1:].isspace() else " ".join(before.split()[:-1])


def filled(text: str, variables: dict[str, str]) -> str:
    """The text with known variables put in; unknown ones stay."""

    def value(match: re.Match[str]) -> str:
        name = next(part for part in match.groups() if part)
        return variables.get(name.lower(), match[0])

    return VARIABLE.sub(value, text)


def unquoted(text: str) -> str:
    """A text without the quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def options_of(arguments: str) -> Iterator[tuple[str, Any]]:
    """Option names with values: True for a bare switch, a list for several values.

    What stands before the first option comes with an empty name.
    """
    name = ""
    values: list[str] = []
    for part in words_of(arguments):
        if part.startswith("--") and len(part) > 2:
            yield from option(name, values)
            name, equals, value = part[2:].partition("=")
            name, values = name.replace("-", "_"), [value] if equals else []
        else:
            values.append(part)
    yield from option(name, values)


def option(name: str, values: list[str]) -> Iterator[tuple[str, Any]]:
    """One option with what followed it."""
    if not name:
        yield from (("", value) for value in values)
    elif not values:
        yield name, True
    else:
        read = [typed(value) for value in values]
        yield name, read[0] if len(read) == 1 else read


def typed(text: str) -> Any:
    """A number where the text is one."""
    if not NUMBER.fullmatch(text) or len(text) > 40:
        return text
    return float(text) if any(mark in text for mark in ".eE") else int(text)


def words_of(arguments: str) -> list[str]:
    """The arguments at their spaces; backslashes of Windows paths stay."""
    # Outside quotes a backslash before anything but a quote or space is part of a path here.
    kept = re.sub(r"\\(?![\"'\s\\])", r"\\\\", arguments)
    try:
        return [part for part in shlex.split(kept, comments=True) if part not in ("&", ";", "|")]
    except ValueError:
        return kept.replace("\\\\", "\\").split()
