"""The page docs/settings.md, made from the schema."""

from __future__ import annotations

from collections.abc import Iterator

from lib_dreambooth.settings import preset
from lib_dreambooth.settings.allowed import allowed
from lib_dreambooth.settings.conditions import ALWAYS
from lib_dreambooth.settings.convert import number_shown, plain
from lib_dreambooth.settings.fields import Field, Group, absolute, all_groups, fields_in, label
from lib_dreambooth.settings.preset import Preset
from lib_dreambooth.settings.toml_text import toml_value

HEAD = """\
# Settings

Made from `lib_dreambooth/settings/` by `python -m lib_dreambooth settings docs`; do not edit it here.

Every setting has one name, `section.key`, the same in form, files, command line and API:

```toml
version = 1

[[concepts]]
folder = "pictures/riho"
token = "riho"

[rates]
learning_rate = 1e-4
```

```
python run.py train settings.toml --set rates.learning_rate=5e-5
python run.py train settings.toml --rates.learning_rate 5e-5 --concepts.0.repeats 3
```

Lengths of training carry their unit: `500 steps`, `2 epochs`, `10 %` (of the run), `5 min`; some also know
`never`, `auto` or `until stopped`. Unknown names are refused with the nearest known one. A setting that has
no effect in a run is named in a warning. Names in kohya's scripts and in sd_dreambooth_extension are found by
`python -m lib_dreambooth settings find NAME`.

Settings marked * can differ for one concept, in its table `override`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, contents()]
    parts += [section(group) for group in all_groups()]
    parts.append(presets())
    return "\n".join(parts)


def contents() -> str:
    """The sections, in order."""
    lines = [f"- [{group.title}](#{anchor(group)}) (`{group.path}`)" for group in all_groups()]
    return "\n".join([*lines, "- [Presets](#presets)", ""])


def anchor(group: Group) -> str:
    """The name a heading is linked by."""
    return f"{group.path.replace('.', '-')}"


def section(group: Group) -> str:
    """One section with a table of its settings."""
    name = f"[[{group.path}]]" if group.is_list else f"[{group.path}]"
    head = f'<a id="{anchor(group)}"></a>\n## {group.title}\n\n`{name}` {group.help}\n'
    rows = ["| setting | default | may be | what it does | elsewhere |", "|---|---|---|---|---|"]
    rows += [row(field) for field in fields_in(group)]
    return "\n".join([head, *rows, ""])


def row(field: Field) -> str:
    """The line of one setting."""
    mark = "*" if field.option.per_concept else ""
    name = f"**{field.option.label}**{mark}<br>`{field.key}`"
    cells = [
        name,
        f"`{toml_value(plain(field.default))}`",
        allowed(field),
        " ".join(said(field)),
        elsewhere(field),
    ]
    return f"| {' | '.join(cell(text) for text in cells)} |"


def said(field: Field) -> Iterator[str]:
    """Help, unit, what the choices are called, and when it applies."""
    yield field.option.help
    if field.option.when != ALWAYS:
        yield f"*Where {field.option.when.sentence(lambda path: label(absolute(path, field.path)))}.*"


def elsewhere(field: Field) -> str:
    """Its names in other tools."""
    kohya = ", ".join(f"`{name}`" for name in field.option.kohya)
    old = ", ".join(f"`{name}`" for name in field.option.old)
    return "<br>".join(filter(None, [kohya and f"kohya: {kohya}", old and f"old: {old}"]))


def cell(text: str) -> str:
    """Text inside a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def presets() -> str:
    """The shipped presets."""
    parts = [
        "## Presets\n\nA preset changes only what it names, and shows the changes before they are made.\n"
    ]
    for found in preset.listed():
        parts.append(f"### {found.name}\n\n{found.about}\n\n{rule_text(found)}{changes_text(found)}")
    return "\n".join(parts)


def rule_text(found: Preset) -> str:
    """Its rule for the length, in words."""
    rule = found.rule
    if rule is None:
        return ""
    whole = ""
    if rule.whole_weights_visits_times_rate:
        whole = f" (whole weights: {number_shown(rule.whole_weights_visits_times_rate)} / rate times)"
    return (
        f"Length: every picture is seen {number_shown(rule.visits_per_picture)} times{whole}, "
        f"{rule.least_visits:,} to {rule.most_visits:,} pictures in all.\n\n"
    )


def changes_text(found: Preset) -> str:
    """What it sets."""
    lines = [f"- `{path} = {toml_value(value)}`" for path, value in flattened(found.settings)]
    whole = [
        f"- for whole weights `{path} = {toml_value(value)}`"
        for path, value in flattened(found.whole_weights)
    ]
    return "\n".join([*lines, *whole, ""])


def flattened(tables: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Values of nested tables with their paths."""
    assert isinstance(tables, dict)
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
