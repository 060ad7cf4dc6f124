from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lib_dreambooth import settings
from lib_dreambooth.base.durations import UNITS, WORDS, Duration
from lib_dreambooth.settings.convert import plain, read_text, read_value, shown
from lib_dreambooth.settings.fields import (
    Group,
    absolute,
    all_fields,
    all_groups,
    applies,
    entries,
    field_at,
    fields_in,
    groups_in,
    label,
    starred,
    value_at,
)
from lib_dreambooth.settings.schema import Concept, Run, Word
from tests.settings.unconsumed import UNCONSUMED

ROOT = Path(__file__).resolve().parents[2]
WITH_ENTRIES = Run(concepts=(Concept(),), words=(Word(name="neko"),))
FIELDS = all_fields()


@pytest.mark.parametrize("group", all_groups(), ids=lambda group: group.path)
def test_every_field_is_explained(group: Group) -> None:
    for field in fields_in(group):
        option = field.option
        assert option.label and option.label == option.label.strip()
        assert option.help.endswith(".") and len(option.help) <= 400, option.help
        assert set(option.units) <= set(UNITS) and set(option.words) <= set(WORDS)
        assert (field.kind == "duration") == bool(option.units)


@pytest.mark.parametrize("group", all_groups(), ids=lambda group: group.path)
def test_every_default_is_a_value_that_may_be_written(group: Group) -> None:
    for field in fields_in(group):
        assert read_value(field, plain(field.default)) == field.default


@pytest.mark.parametrize("group", all_groups(), ids=lambda group: group.path)
def test_conditions_name_settings_and_can_be_evaluated_and_said(group: Group) -> None:
    for field in fields_in(group):
        here = field.path.replace("*", "0")
        for path in field.option.when.paths():
            assert field_at(absolute(path, here)), path
        assert applies(field.option.when, WITH_ENTRIES, here) in (True, False)
        assert field.option.when.sentence(label)
        assert field.option.when.to_json() is not None


def test_labels_are_unique_where_they_stand_side_by_side() -> None:
    for group in all_groups():
        labels = [field.option.label for field in FIELDS if field.group is group]
        assert len(set(labels)) == len(labels)


def test_a_section_made_by_another_thread_has_its_settings() -> None:
    for group in groups_in(Run, ""):
        assert [field.path for field in fields_in(group)] == [
            field.path for field in FIELDS if field.group.path == group.path
        ]


def test_paths_reach_their_values() -> None:
    run = WITH_ENTRIES
    assert value_at(run, "words.0.name") == value_at(run, "words[0].name") == "neko"
    assert starred("concepts[3].folder") == "concepts.*.folder"
    for path, field, value in entries(run):
        assert field_at(path) is field
        assert value_at(run, path) == value


def test_a_run_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Run().rates.learning_rate = 1.0  # type: ignore[misc]


def test_structs_hold_what_the_fields_say() -> None:
    run = Run()
    assert sum(len(msgspec.structs.fields(group.struct)) for group in all_groups()) == len(FIELDS)
    assert {group.path.split(".")[0] for group in all_groups()} == set(run.__struct_fields__)


def test_import_is_light_and_without_torch() -> None:
    heavy = ("torch", "numpy", "diffusers", "transformers", "gradio", "tomlkit", "PIL", "importlib.metadata")
    script = f"import sys; import lib_dreambooth.settings; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "[]"


def test_import_takes_hardly_longer_than_that_of_python_s_own_modules() -> None:
    script = (
        "import time; start = time.process_time();"
        " import asyncio, concurrent.futures.process, http.server, logging.config, multiprocessing.pool,"
        " sqlite3, unittest.mock, xml.dom.minidom; between = time.process_time();"
        " import lib_dreambooth.settings; print((time.process_time() - between) / (between - start))"
    )
    # About as long, a tenth of a second; the best of three, since other programs may keep the machine busy.
    taken = [
        float(
            subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True).stdout
        )
        for _ in range(3)
    ]
    assert min(taken) < 2.5


@pytest.mark.parametrize("group", all_groups(), ids=lambda group: group.path)
def test_what_is_shown_of_a_default_can_be_typed(group: Group) -> None:
    for field in fields_in(group):
        if field.default in ("", (), {}):
            assert shown(field.default) in ("empty", "none")
        else:
            assert read_text(field, shown(field.default)) == field.default


def test_a_zero_in_another_unit_is_never() -> None:
    saving = settings.replace(Run(), {"saving.every": "0 epochs"}).saving
    assert saving.every == Duration(0, "epochs") and saving.every.is_never


def test_the_list_of_fields_without_a_consumer_names_fields() -> None:
    assert {field.path for field in FIELDS} >= UNCONSUMED


@pytest.mark.slow
def test_runs_are_made_by_reading_alone() -> None:
    """Outside of settings nobody calls a section's constructor, which checks nothing."""
    structs = {group.struct.__name__ for group in all_groups()} | {"Run", "Parts"}
    found = []
    for path in sorted((ROOT / "lib_dreambooth").rglob("*.py")):
        if "settings" in path.relative_to(ROOT / "lib_dreambooth").parts[:1]:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lib_dreambooth.settings")
            for alias in node.names
            if alias.name in structs
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported:
                found.append(f"{path.name}:{node.lineno} {node.func.id}()")
    assert found == []


def test_what_a_setting_inherits_is_a_setting() -> None:
    known = {field.path: field for field in all_fields()}
    inheriting = {field.path: field.option.inherits for field in known.values() if field.option.inherits}
    assert inheriting["parts.unet.rate"] == "rates.learning_rate"
    for path, other in inheriting.items():
        assert known[path].option.low == 0 and known[other].kind in ("whole", "number"), path
