"""ss_datasets: what a LoRA file says about its pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lib_dreambooth.settings.recipes.kohya.subsets import Subset, level
from lib_dreambooth.settings.recipes.sheet import Entry

DATASET_NAMES = {"batch_size_per_device": "batch_size"}
FACTS = frozenset(
    ("is_dreambooth", "num_train_images", "num_reg_images", "tag_frequency", "bucket_info", "img_count")
)


def json_list(value: Any) -> list[Mapping[str, Any]]:
    """Tables in a list written as JSON inside a text; nothing where it is none."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return []
    return [part for part in found if isinstance(part, Mapping)] if isinstance(found, list) else []


def facts_in(datasets: list[Mapping[str, Any]]) -> Iterator[Entry]:
    """Counts and other things inside ss_datasets that follow from the pictures."""
    for place, dataset in enumerate(datasets):
        here = f"ss_datasets[{place}]."
        tables = [(here, dataset)]
        tables += [
            (f"{here}subsets[{inner}].", subset)
            for inner, subset in enumerate(json_list(dataset.get("subsets")))
        ]
        for prefix, table in tables:
            for key, value in table.items():
                if key in FACTS:
                    yield Entry(f"{prefix}{key}", f"fact.{prefix}{key}", value)


def subsets_of(datasets: list[Mapping[str, Any]]) -> Iterator[Subset]:
    """The subsets of ss_datasets, with what each inherits from its dataset."""
    count = 0
    for place, dataset in enumerate(datasets):
        here = f"ss_datasets[{place}]."
        own = level(without_facts(dataset), here, DATASET_NAMES)
        for inner, subset in enumerate(json_list(dataset.get("subsets"))):
            yield Subset(count, (level(without_facts(subset), f"{here}subsets[{inner}]."), own))
            count += 1


def without_facts(table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a table."""
    return {key: value for key, value in table.items() if key not in FACTS and key != "subsets"}
