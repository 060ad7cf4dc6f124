"""Nothing is dropped silently: every key of every recipe has exactly one line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.settings.files import parsed
from lib_dreambooth.settings.recipes import Fate, Imported
from lib_dreambooth.settings.recipes.command_line import command_of
from lib_dreambooth.settings.recipes.kohya.table import KOHYA
from lib_dreambooth.settings.recipes.turn import pairs
from tests.settings_recipes.recipe_samples import (
    FIXTURES,
    NAMES,
    legacy,
    read_config,
    read_fixture,
    read_json,
)

PAIR_LISTS = ("optimizer_args", "network_args", "lr_scheduler_args")


def keys_of(value: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a file; lists of name=value and tables count by their parts."""
    for key, part in value.items():
        here = f"{prefix}{key}"
        if key in PAIR_LISTS and part and not (isinstance(part, dict) and "args" in part):
            yield from (f"{here}[{name}]" for name, _ in pairs(part))
        elif key == "additional_parameters" and part:
            yield from (f"{here}[{word.partition('=')[0]}]" for word in part.split() if word.startswith("--"))
        elif isinstance(part, dict) and key != "custom_attributes":
            yield from keys_of(part, f"{here}.")
        elif isinstance(part, list) and part and isinstance(part[0], dict):
            for place, entry in enumerate(part):
                yield from keys_of(entry, f"{here}[{place}].")
        else:
            yield here


def file_keys(name: str) -> Counter[str]:
    """The keys that a fixture has."""
    text = (FIXTURES / name).read_bytes()
    if name.endswith((".sh", ".bat")):
        command = command_of(text.decode())
        assert command is not None
        found = [f"--{option}" for option, _ in command.options if option != "network_args"]
        found += [f"launch --{option}" for option, _ in command.launch]
        if name.startswith("kohya"):
            found += ["--network_args[conv_dim]", "--network_args[conv_alpha]"]
        return Counter(found)
    decoded = legacy(text) if "cp932" in name else text.decode()
    value = json.loads(decoded) if name.endswith(".json") else parsed(decoded, name)
    return Counter(keys_of(value))


@pytest.mark.parametrize("name", [name for name in NAMES if "metadata" not in name])
@pytest.mark.parametrize("as_run", (False, True))
def test_every_key_has_one_line(name: str, as_run: bool) -> None:
    lines = Counter(line.key for line in read_fixture(name, as_run=as_run).report.lines)
    assert lines == file_keys(name)


@pytest.mark.parametrize("name", [name for name in NAMES if "metadata" in name])
def test_every_key_of_a_files_metadata_has_one_line(name: str) -> None:
    told = json.loads((FIXTURES / name).read_text(encoding="utf-8"))
    lines = [line.key for line in read_fixture(name).report.lines]
    assert len(lines) == len(set(lines))
    for key in told:
        assert key in lines or any(line.startswith((f"{key}[", f"{key}.")) for line in lines), key


def is_sound(imported: Imported, keys: set[str]) -> bool:
    """Whether every key has one line that says something."""
    lines = imported.report.lines
    silent = [line for line in lines if line.fate is not Fate.HONOURED and not line.says]
    return {line.key for line in lines} == keys and len(lines) == len(keys) and not silent


values = st.one_of(
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from((10, 64, 512, 1600, 9999, 999999, 2**70)),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(("1e-4", "512,512", "adamw", "cosine", "fp16", "linear+.2", "0.1,0.2", "None", "nan")),
    st.lists(st.one_of(st.integers(-2, 2), st.text(max_size=5)), max_size=3),
)
plain_names = sorted(name for name in KOHYA if "." not in name)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(plain_names), values, min_size=1, max_size=12), st.booleans())
def test_any_values_of_known_options_become_a_run(drawn: dict[str, Any], as_run: bool) -> None:
    told = {key: part for key, part in drawn.items() if key not in PAIR_LISTS}
    imported = read_json({"LoRA_type": "Standard", **told}, as_run=as_run)
    assert is_sound(imported, {"LoRA_type", *told})


def test_unknown_keys_are_named_with_the_nearest_known_one() -> None:
    line = read_config({"network_module": "networks.lora", "learning_rat": 1e-4}).report.line("learning_rat")
    assert line.fate is Fate.NO_MEANING
    assert "Is learning_rate meant?" in line.says


def test_of_a_key_in_two_sections_the_last_counts() -> None:
    imported = read_config(
        {"network_module": "networks.lora", "a": {"network_dim": 4}, "b": {"network_dim": 16}}
    )
    assert imported.run.network.rank == 16
    assert imported.report.line("a.network_dim").fate is Fate.NO_MEANING
    assert imported.report.line("b.network_dim").fate is Fate.HONOURED


def test_keys_that_look_alike_have_a_line_each() -> None:
    imported = read_config({"a.network_dim": 4, "a": {"network_dim": 16}, "network_module": "networks.lora"})
    assert imported.run.network.rank == 16
    assert [line.key for line in imported.report.lines][:2] == ["a.network_dim", "a.network_dim (2)"]


def test_names_twice_in_json_are_told() -> None:
    from lib_dreambooth.settings.recipes import read_recipe

    imported = read_recipe(b'{"LoRA_type": "Standard", "network_dim": 4, "network_dim": 8}', "gui.json")
    assert imported.run.network.rank == 8
    assert imported.report.notes == ("network_dim stands there twice; the last one counts.",)


def test_values_that_the_schema_refuses_wait_for_you_and_the_rest_counts() -> None:
    imported = read_config(
        {"network_module": "networks.lora", "network_dim": 100_000, "min_timestep": 900, "max_timestep": 100}
    )
    assert imported.run.network.rank == 16
    line = imported.report.line("network_dim")
    assert line.fate is Fate.NEEDS_YOU
    assert "out of range" in line.says and "Its default stands in its place." in line.says
    assert imported.report.line("max_timestep").fate is Fate.NEEDS_YOU
    assert imported.run.noise.first_timestep == 900


def test_secrets_are_not_told() -> None:
    imported = read_config({"v2": False, "huggingface_token": "hf_x", "wandb_api_key": "k"})
    assert "hf_x" not in imported.report.text()
    assert imported.report.line("wandb_api_key").value == "(hidden)"
