"""Prompts with kohya's switches, one a line, and the files that hold them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.settings.files import load_text, parsed

_SWITCH = re.compile(r"\s--([a-z]+)(?=\s|$)\s*")
# kohya's names of samplers and the names here; its k_ ones are the same without the prefix.
SAMPLERS = {
    "ddim": "ddim",
    "euler": "euler",
    "euler_a": "euler a",
    "dpmsolver++": "dpm++ 2m karras",
    "dpm_2m": "dpm++ 2m karras",
    "dpmsingle": "dpm++ 2m karras",
    "unipc": "unipc",
}


@dataclass(frozen=True)
class PreviewPrompt:
    """One picture to draw; None where the run's own choice holds."""

    prompt: str
    negative: str | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    concept: str = ""


def parse_line(text: str, where: str, concept: str = "") -> PreviewPrompt:
    """A prompt and its switches. Raises UserError for values that cannot be; other switches are refused."""
    first, *rest = _SWITCH.split(f" {text.strip()}")
    found: dict[str, Any] = {}
    for switch, value in zip(rest[::2], rest[1::2], strict=True):
        if switch not in _SWITCHES:
            raise UserError(
                f'there is no switch "--{switch}" for preview prompts.',
                where=where,
                todo=f"Known are {', '.join(f'--{name}' for name in _SWITCHES)}.",
            )
        field, kind = _SWITCHES[switch]
        found[field] = _converted(value.strip(), kind, f"--{switch}", where)
    return PreviewPrompt(first.strip(), concept=concept, **found)


def read_prompts(path: Path) -> list[PreviewPrompt]:
    """The prompts of a .txt with one a line, or of kohya's .toml or .json."""
    ending = path.suffix.lower()
    text = load_text(path)
    if ending == ".toml":
        return [_of_table(table, path) for table in _toml_tables(parsed(text, str(path)), path)]
    if ending == ".json":
        return [_of_table(table, path) for table in _json_tables(text, path)]
    lines = [line.strip() for line in text.splitlines()]
    return [parse_line(line, str(path)) for line in lines if line and not line.startswith("#")]


def _sampler(text: str) -> str:
    name = text.lower().removeprefix("k_")
    return SAMPLERS.get(name, name.replace("_", " "))


_SWITCHES: dict[str, tuple[str, Any]] = {
    "n": ("negative", str),
    "w": ("width", int),
    "h": ("height", int),
    "d": ("seed", int),
    "s": ("steps", int),
    "l": ("guidance", float),
    "ss": ("sampler", _sampler),
}
# kohya's keys in TOML and JSON files.
_KEYS = {
    "prompt": "prompt",
    "negative_prompt": "negative",
    "width": "width",
    "height": "height",
    "seed": "seed",
    "sample_steps": "steps",
    "scale": "guidance",
    "sample_sampler": "sampler",
}
_KINDS: dict[str, Any] = dict(_SWITCHES.values()) | {"prompt": str}


def _converted(value: Any, kind: Any, name: str, where: str) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise UserError(f'"{value}" is no value for {name}.', where=where, todo="Give a number.") from error


def _of_table(table: Mapping[str, Any], path: Path) -> PreviewPrompt:
    unknown = [key for key in table if key not in _KEYS and key != "enum"]
    if unknown or "prompt" not in table:
        what = f'"{unknown[0]}" is no key of a preview prompt.' if unknown else "a prompt has no text."
        raise FileError(what, where=str(path), todo=f"Known are {', '.join(_KEYS)}.")
    fields = {_KEYS[key]: value for key, value in table.items() if key in _KEYS}
    values = {name: _converted(value, _KINDS[name], name, str(path)) for name, value in fields.items()}
    return PreviewPrompt(**values)


def _toml_tables(tables: Mapping[str, Any], path: Path) -> Iterable[Mapping[str, Any]]:
    common = dict(tables.get("prompt", {}))
    subsets = common.pop("subset", None)
    if not isinstance(subsets, list):
        raise FileError(
            "holds no preview prompts.", where=str(path), todo="Write them as [[prompt.subset]] tables."
        )
    return [{**common, **subset} for subset in subsets]


def _json_tables(text: str, path: Path) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(f"is no JSON ({error}).", where=str(path), todo="Repair or replace it.") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise FileError("is no list of prompts.", where=str(path), todo='Write [{"prompt": "..."}, ...].')
    return found
