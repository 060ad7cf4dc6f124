"""Settings are found by what other tools call them."""

from __future__ import annotations

import pytest

from lib_dreambooth.settings.aliases import ALIASES
from lib_dreambooth.settings.fields import fields_by_path
from lib_dreambooth.settings.json_schema import json_schema
from lib_dreambooth.settings.nearest import paths_for
from tests.ui.names_of_settings import FOREIGN


@pytest.mark.parametrize("name", [name for name in FOREIGN if name.isascii()])
def test_a_name_from_another_tool_is_known(name: str) -> None:
    assert FOREIGN[name] in paths_for(name)


def test_aliases_are_of_settings_and_say_something_new() -> None:
    for path, names in ALIASES.items():
        field = fields_by_path()[path]
        known = {field.option.label.lower(), *field.option.kohya, *field.option.old}
        assert [name for name in names if name.strip() != name or name.lower() in known] == [], path
        assert len({name.lower() for name in names}) == len(names), path


def test_the_form_gets_them() -> None:
    rank = json_schema()["properties"]["network"]["properties"]["rank"]
    assert rank["x-also"] == list(ALIASES["network.rank"])
