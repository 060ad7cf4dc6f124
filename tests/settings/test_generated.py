"""Whatever is made from the schema holds every setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from lib_dreambooth import settings
from lib_dreambooth.settings.compare import ABSENT, differences
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import all_fields, all_groups
from lib_dreambooth.settings.json_schema import json_schema
from lib_dreambooth.settings.nearest import paths_for
from lib_dreambooth.settings.reference import page
from lib_dreambooth.settings.schema import Run
from tests.settings.strategies import sourced_runs

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json_schema()


def test_the_reference_in_docs_is_up_to_date() -> None:
    written = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert written == page(), "run: python -m lib_dreambooth settings docs"


def test_every_field_is_in_the_reference() -> None:
    text = page()
    for field in all_fields():
        assert f"**{field.option.label}**{'*' if field.option.per_concept else ''}<br>`{field.key}`" in text
    for group in all_groups():
        assert f"\n## {group.title}\n" in text
    for line in text.splitlines():
        if line.startswith("| **"):
            assert line.replace("\\|", "").count("|") == 6, line


def fields_in_schema(schema: dict[str, Any]) -> list[str]:
    found = []
    for part in schema.get("properties", {}).values():
        table = part.get("items", {}) if "properties" in part.get("items", {}) else part
        found += [part["x-path"]] if "x-path" in part else fields_in_schema(table)
    return found


def test_every_field_is_in_the_json_schema() -> None:
    assert sorted(fields_in_schema(SCHEMA)) == sorted(field.path for field in all_fields())
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def violations(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """A small reader of the words that the schema uses."""
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, kinds[name]) for name in types):  # type: ignore[arg-type]
        return [f"{path}: {value!r} is no {types}"]
    found = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        more = schema.get("additionalProperties", True)
        for key, part in value.items():
            rule = known.get(key, more)
            if rule is False:
                found.append(f"{path}.{key}")
            elif isinstance(rule, dict):
                found += violations(part, rule, f"{path}.{key}")
    if isinstance(value, list) and "items" in schema:
        found += [bad for part in value for bad in violations(part, schema["items"], path)]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: {value!r} is not offered")
    if isinstance(value, (int, float)):
        low, high, above = (schema.get(name) for name in ("minimum", "maximum", "exclusiveMinimum"))
        inside = (
            (low is None or value >= low)
            and (high is None or value <= high)
            and (above is None or value > above)
        )
        found += [] if inside else [f"{path}: {value!r} is out of range"]
    return found


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(sourced_runs())
def test_any_run_fits_the_json_schema_and_reads_back(sourced: settings.Sourced) -> None:
    data = json.loads(json.dumps(plain(sourced.run)))
    assert violations(data, SCHEMA) == []
    assert settings.review(data).sourced.run == sourced.run


def test_what_does_not_fit_the_json_schema_is_seen() -> None:
    data = plain(Run())
    data["network"].update(rank=0, kind="lorra", odd=1)
    assert len(violations(data, SCHEMA)) == 3


@hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(sourced_runs(), sourced_runs())
def test_differences_lead_from_one_run_to_the_other(one: settings.Sourced, other: settings.Sourced) -> None:
    found = differences(one.run, other.run)
    after = {change.path: change.after for change in found if change.after is not ABSENT}
    lists = {
        path: plain(getattr(one.run, path))[: len(getattr(other.run, path))] for path in ("concepts", "words")
    }
    start = settings.review_changes(lists, base=settings.Sourced(one.run)).sourced
    assert settings.review_changes(after, base=start).sourced.run == other.run
    assert differences(one.run, one.run) == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("network_dim", "network.rank"),
        ("Network Rank (Dimension)", "network.rank"),
        ("Learning Rate", "rates.learning_rate"),
        ("keep_tokens", "captions.keep_tokens"),
        ("Dataset Directory", "concepts.*.folder"),
        ("flip_aug", "pictures.flip"),
        ("hflip", "pictures.flip"),
        ("num_class_images_per", "class_pictures.per_picture"),
    ],
)
def test_settings_are_found_by_the_names_people_know(name: str, path: str) -> None:
    assert path in paths_for(name)
