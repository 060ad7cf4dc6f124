"""A run as TOML text, in the order of the schema, each setting with its help."""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Iterator

from lib_dreambooth.settings.allowed import allowed
from lib_dreambooth.settings.convert import plain, shown
from lib_dreambooth.settings.fields import Field, Group, all_groups, entries, fields_in, value_at
from lib_dreambooth.settings.renames import VERSION
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import DEFAULT, Sourced
from lib_dreambooth.settings.toml_text import toml_key, toml_value

HEADER = (
    "# Settings of a training run. Every line may be left out: its default then counts.\n"
    "# docs/settings.md explains each setting in full.\n"
)
ORIGINS = "# Where values came from that were not typed here; counts as long as the value is the same.\n"
WIDTH = 100
FIRST_SENTENCE = re.compile(r".+?\.(?=\s|$)")


def text_of(sourced: Sourced, *, only_changed: bool = False) -> str:
    """The run as TOML; `only_changed` leaves out what has its default value."""
    blocks = [f"{HEADER}version = {VERSION}\n"]
    for group in all_groups():
        blocks += group_blocks(group, sourced.run, only_changed)
    origins = [f"{toml_key(path)} = {toml_value(text)}\n" for path, text in origin_texts(sourced).items()]
    if origins:
        blocks.append(f"{ORIGINS}[sources]\n" + "".join(origins))
    return "\n".join(blocks)


def group_blocks(group: Group, run: Run, only_changed: bool) -> Iterator[str]:
    """The block of a section, or one for each of its entries."""
    fields = fields_in(group)
    found = value_at(run, group.path)
    for section in found if group.is_list else (found,):
        lines = []
        for field in fields:
            value = getattr(section, field.key)
            if not only_changed or value != field.default:
                lines.append(f"{comment_of(field)}{field.key} = {toml_value(plain(value))}\n")
        if lines or group.is_list:
            head = f"[[{group.path}]]" if group.is_list else f"[{group.path}]"
            yield f"{head}  # {group.title}\n" + "".join(lines)


@functools.lru_cache(maxsize=1000)
def comment_of(field: Field) -> str:
    """Label, what it does in one sentence, and what it may be."""
    sentence = FIRST_SENTENCE.match(field.option.help)
    text = f"{field.option.label}: {sentence[0] if sentence else field.option.help} ({allowed(field)})"
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, WIDTH, break_on_hyphens=False))


def origin_texts(sourced: Sourced) -> dict[str, str]:
    """Path to source and value, for each value that neither a default nor a file gave."""
    return {
        path: f"{sourced.source(path)} ({shown(value)})"
        for path, _, value in entries(sourced.run)
        if sourced.source(path) != DEFAULT and not sourced.source(path).startswith("file ")
    }
