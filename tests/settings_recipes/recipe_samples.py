"""Recipes for the tests, and the short way to read one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lib_dreambooth.data.captions.decode import decode
from lib_dreambooth.settings.recipes import Here, Imported, read_metadata, read_recipe
from lib_dreambooth.settings.toml_text import toml_key, toml_value

FIXTURES = Path(__file__).parent / "fixtures"
GOLDEN = Path(__file__).parent.parent / "golden" / "recipes"
NAMES = sorted(path.name for path in FIXTURES.iterdir())
LORA = {"network_module": "networks.lora", "network_dim": 8, "network_alpha": 4.0}


def legacy(data: bytes) -> str:
    """What is not Unicode, as the command line reads it."""
    return decode(data).text


def read_fixture(name: str, **how: Any) -> Imported:
    """A recipe of the fixtures."""
    return read_recipe((FIXTURES / name).read_bytes(), name, legacy=legacy, **how)


def read_config(values: dict[str, Any], **how: Any) -> Imported:
    """A kohya config of these options."""
    text = "".join(f"{toml_key(name)} = {toml_value(value)}\n" for name, value in values.items())
    return read_recipe(text.encode(), "config.toml", **how)


def read_lora(**values: Any) -> Imported:
    """A kohya config of a LoRA with these options more."""
    return read_config({**LORA, **values})


def read_lora_as_run(**values: Any) -> Imported:
    """The same, as the tool ran it."""
    return read_config({**LORA, **values}, as_run=True)


def read_json(values: Any, **how: Any) -> Imported:
    """A JSON recipe."""
    return read_recipe(json.dumps(values).encode(), "recipe.json", **how)


def read_header(values: dict[str, str], **how: Any) -> Imported:
    """A LoRA file's metadata."""
    return read_metadata(values, "file.safetensors", **how)


def everything_here() -> Here:
    """A machine on which every path exists."""
    return Here(locate=lambda path: path)
