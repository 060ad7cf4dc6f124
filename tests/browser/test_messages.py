"""Every sentence that can stand beside a field stands there when it is provoked, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.fields import Field, all_fields
from tests.browser.chromium import Chromium, Page
from tests.browser.served import Served
from tests.settings.test_settings_reading import CONTRADICTIONS

pytestmark = [pytest.mark.browser, pytest.mark.slow]
# The form as it is after these values came into it: what stands beside which field.
TOLD = """(async () => {
  const {store, plan} = sdDreambooth;
  store.put("values", {"concepts.0.folder": "", ...%s});
  await plan.check();
  // The page asks a moment later by itself, and only the last answer counts.
  while (store.get("isChecking")) await new Promise((ended) => setTimeout(ended, 20));
  const fields = [...document.querySelectorAll("#dreambooth_panel_training .dreambooth-field")];
  const told = (one) => one.querySelector(".dreambooth-problem").textContent;
  return Object.fromEntries(fields.filter(told).map((one) => [one.dataset.path, told(one)]));
})()"""
# What no setting of the kind can be.
NEVER = {
    "switch": "perhaps", "whole": "many", "number": "much", "duration": "12 moons", "size": "wide", "text": 7,
    "texts": [7], "wholes": ["one"], "numbers": ["one"], "table": "one",
    "whole table": {"a": "one"}, "number table": {"a": "one"}, "overrides": {"no.such": 1},
}  # fmt: skip


def told(page: Page, values: dict[str, Any]) -> dict[str, str]:
    found = page.js(TOLD % json.dumps(values))
    assert isinstance(found, dict)
    return found


def flat(data: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Tables as values by path, lists of tables with numbers; an empty entry by its first field."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        here = f"{path}{name}"
        if isinstance(value, dict):
            found |= flat(value, f"{here}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, entry in enumerate(value):
                found |= flat(entry or {"name": ""}, f"{here}.{number}.")
        else:
            found[here] = value
    return found


def wrong(field: Field) -> Any:
    """A value that the setting cannot have."""
    option = field.option
    if option.choices and not option.open_choices:
        return ["none of these"] if field.kind == "texts" else "none of these"
    if field.kind in ("whole", "number") and option.high is not None:
        return option.high + 1
    return NEVER[field.kind]


def test_every_field_tells_what_is_wrong_with_it(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    values = {field.path.replace("*", "0"): wrong(field) for field in all_fields()}
    found = told(page, values)
    assert sorted(values.keys() - found.keys()) == []
    assert [path for path, text in found.items() if len(text) < 10 or text.startswith(path)] == []
    # Train says how many there are.
    page.press("#dreambooth_tab_training")
    line = json.dumps(f"{len(values)} settings need attention")
    page.wait(f"document.querySelector('#dreambooth_panel_training').innerText.includes({line})")
    assert page.errors == []
    page.close()


def test_settings_against_each_other_are_told_where_they_can_be_mended(
    browser: Chromium, served: Served
) -> None:
    page = served.open(browser)
    cases = [(data, path) for data, facts, path in CONTRADICTIONS if facts == Facts()]
    assert len(cases) > 20
    failed = [(data, path, found) for data, path in cases if path not in (found := told(page, flat(data)))]
    assert failed == []
    page.close()


@pytest.mark.parametrize(
    ("values", "path", "words"),
    [
        ({"rates.power": 2}, "rates.power", "no effect"),
        ({"rates.learning_rate": 1e-3, "network.alpha": 16}, "rates.learning_rate", "diverge"),
        ({"network.kind": "none"}, "rates.learning_rate", "1e-6"),
    ],
)
def test_what_is_worth_knowing_stands_there_too(
    browser: Chromium, served: Served, values: dict[str, Any], path: str, words: str
) -> None:
    page = served.open(browser)
    assert words in told(page, values)[path]
    field = f'#dreambooth_panel_training [data-path="{path}"]'
    assert page.js(f"document.querySelector({json.dumps(field)}).classList.contains('dreambooth-noticed')")
    page.close()


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("network.rank", 999, "narrowest layer"),
        ("memory.device", "mps", "PyTorch finds no"),
        ("model.family", "sdxl", "of the family sd1"),
    ],
)
def test_what_the_machine_and_the_base_forbid_stands_there(
    browser: Chromium, served: Served, pictures: Path, path: str, value: Any, words: str
) -> None:
    page = served.open(browser)
    base = page.js("sdDreambooth.store.get('bases')[0].value")
    found = told(page, {"model.base": base, "concepts.0.folder": str(pictures), path: value})
    assert words in found[path]
    page.close()


def test_what_is_missing_stands_beside_its_field(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.js("sdDreambooth.store.put('values', {'concepts.0.folder': ''})")
    page.type("#dreambooth_name", "nothing")
    page.press("#dreambooth_train")
    for path in ("model.base", "concepts.0.folder"):
        field = f'#dreambooth_panel_training [data-path="{path}"]'
        page.wait(f"document.querySelector({json.dumps(field)}).classList.contains('dreambooth-wrong')")
    page.close()
