"""Settings given as flags: --rates.learning_rate 5e-5, --pictures.flip, --no-pictures.flip, --set x.y=5."""

from __future__ import annotations

from collections.abc import Sequence

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings.convert import FALSE, TRUE
from lib_dreambooth.settings.fields import field_at

Pairs = list[tuple[str, str]]


def split(arguments: Sequence[str]) -> tuple[Pairs, list[str]]:
    """Paths with typed values, and the arguments that are none of ours; what follows `--` is left alone."""
    pairs: Pairs = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            rest += [word, *waiting]
            break
        name, equals, value = word.partition("=")
        if name == "--set":
            pairs.append(pair(value if equals else following(waiting, name)))
        elif is_switched_off(name) and not equals:
            pairs.append((name.removeprefix("--no-"), "false"))
        elif is_setting_flag(name):
            pairs.append((name[2:], value if equals else value_after(name, waiting)))
        else:
            rest.append(word)
    return pairs, rest


def is_setting_flag(name: str) -> bool:
    """Whether a flag has the form of a setting's path, known or not."""
    return name.startswith("--") and "." in name and " " not in name and "/" not in name


def is_switched_off(name: str) -> bool:
    """Whether a flag is a switch with `--no-` in front."""
    field = field_at(name.removeprefix("--no-")) if name.startswith("--no-") else None
    return field is not None and field.kind == "switch"


def pair(text: str) -> tuple[str, str]:
    """SECTION.KEY=VALUE in two."""
    path, equals, value = text.partition("=")
    if not equals:
        raise UserError(
            f'"{text}" has no equals sign.',
            where="--set",
            todo="Write --set rates.learning_rate=5e-5.",
            code="bad-arguments",
        )
    return path.strip(), value


def value_after(name: str, waiting: list[str]) -> str:
    """The value of a flag; a switch without one is on."""
    field = field_at(name[2:])
    if field is not None and field.kind == "switch":
        has_value = bool(waiting) and waiting[0].lower() in (*TRUE, *FALSE)
        return waiting.pop(0) if has_value else "true"
    return following(waiting, name)


def following(waiting: list[str], name: str) -> str:
    """The next argument."""
    if not waiting or waiting[0].startswith("--"):
        raise UserError(
            "the value is missing.", where=name, todo=f"Write {name} VALUE.", code="bad-arguments"
        )
    return waiting.pop(0)
