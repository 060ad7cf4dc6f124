"""Every control of the form changes the run that it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import Field, all_fields, value_at
from lib_dreambooth.settings.reading import review
from tests.browser.chromium import Chromium
from tests.browser.served import Served, set_field, values

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Types into the control of a setting as a person would, and gives what would be sent.
TYPE = """(async () => {
  const [path, text] = %s;
  sdDreambooth.store.put("values", {"concepts.0.folder": "", "words.0.name": ""});
  const field = document.querySelector(`#dreambooth_panel_training [data-path="${path}"]`);
  if (!field) throw new Error("no control for " + path);
  const box = field.querySelector("input, select, textarea");
  const tell = (one, kind) => one.dispatchEvent(new Event(kind, {bubbles: true}));
  if (box.type === "checkbox") { box.checked = text === "true"; tell(box, "change"); }
  else if (box.tagName === "SELECT") { box.selectedIndex = Number(text); tell(box, "change"); }
  else {
    const unit = field.querySelector(".dreambooth-units");
    if (unit) { unit.value = text.split(" ")[1]; tell(unit, "change"); }
    box.value = unit ? text.split(" ")[0] : text;
    tell(box, "input");
  }
  return sdDreambooth.schema.nested(sdDreambooth.store.get("values"));
})()"""


def odd(field: Field) -> tuple[str, Any]:
    """What is typed, and the value that it means; never the default."""
    option, kind, default = field.option, field.kind, plain(field.default)
    if kind == "switch":
        return str(not default).lower(), not default
    if kind in ("text", "whole") and option.choices and not option.open_choices:
        number, other = next((n, one) for n, one in enumerate(option.choices) if one != default)
        return str(number), other
    if kind == "duration":
        unit = {"percent": "%", "minutes": "min"}.get(option.units[0], option.units[0])
        return f"7 {unit}", f"7 {unit}"
    if kind in ("whole", "number"):
        found = next(one for one in candidates(field) if one != default and fits(field, one))
        return str(found), found
    if kind == "size":
        return "320x448", "320x448"
    if kind == "texts":
        chosen = (
            [one for one in option.choices if [one] != list(default)][:1]
            if option.choices
            else ["odd", "even"]
        )
        return "\n".join(chosen), chosen
    if kind in ("wholes", "numbers"):
        return "3, 5", [3, 5]
    if kind in ("whole table", "number table"):
        return "IN01=2" if "block" in field.path else "odd=2", {"IN01" if "block" in field.path else "odd": 2}
    if kind in ("table", "overrides"):
        return ("odd=3", {"odd": 3}) if kind == "table" else ("pictures.flip=true", {"pictures.flip": True})
    return ("#123456", "#123456") if option.picks == "colour" else ("odd words", "odd words")


def candidates(field: Field) -> list[float]:
    low, high = field.option.low, field.option.high
    whole = field.kind == "whole"
    found: list[float] = [3, 2, 5, 0, 1, 64, 128] if whole else [0.25, 0.5, 0.75, 1.5, 0, 1, 3]
    return found + [one for one in (low, high) if one is not None]


def fits(field: Field, value: float) -> bool:
    option = field.option
    return (
        (option.low is None or value >= option.low)
        and (option.high is None or value <= option.high)
        and (option.above is None or value > option.above)
    )


def test_every_control_reaches_the_run(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.js("document.querySelector('#dreambooth_tab_training').click()")
    page.js("sdDreambooth.store.put('values', {'concepts.0.folder': '', 'words.0.name': ''})")
    wrong = []
    for field in all_fields():
        path = field.path.replace("*", "0")
        typed, meant = odd(field)
        sent = page.js(TYPE % json.dumps([path, typed]))
        found = review(sent)
        got = plain(value_at(found.sourced.run, path))
        if got != meant:
            refused = [one.what for one in found.problems if one.where == path]
            wrong.append((path, typed, got, refused))
    assert not wrong, wrong
    assert page.errors == []


def test_what_is_typed_stands_in_the_queue(browser: Chromium, served: Served, pictures: Path) -> None:
    page = served.open(browser)
    set_field(page, "concepts.0.folder", str(pictures))
    set_field(page, "network.rank", "13")
    set_field(page, "rates.learning_rate", "3.7e-5")
    set_field(page, "metadata.name", "odd one")
    page.js(
        """sdDreambooth.api.post("queue", {model: "odd", action: "train", starts: false,
        settings: sdDreambooth.schema.nested(sdDreambooth.store.get("values"))})"""
    )
    (entry,) = [one for one in served.worker.queue.line().entries if one.model == "odd"]
    assert "rank = 13\n" in entry.settings
    assert "learning_rate = 3.7e-05\n" in entry.settings or "learning_rate = 3.7e-5\n" in entry.settings
    assert 'name = "odd one"\n' in entry.settings
    served.worker.queue.remove(entry.id)


def test_a_wrong_value_is_told_beside_its_field(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    set_field(page, "network.rank", "many")
    field = '#dreambooth_panel_training [data-path="network.rank"]'
    page.wait(f"document.querySelector({json.dumps(field)}).classList.contains('dreambooth-wrong')")
    assert "whole number" in page.text(f"{field} .dreambooth-problem")
    assert values(page)["network"]["rank"] == "many"


def test_a_field_is_found_by_its_kohya_name(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.press("#dreambooth_tab_training")
    page.type("#dreambooth_search", "network_dim")
    page.wait("document.querySelector('.dreambooth-found').innerText.endsWith(' found')")
    shown = page.js(
        "[...document.querySelectorAll('#dreambooth_panel_training .dreambooth-field')]"
        ".filter((one) => one.checkVisibility()).map((one) => one.dataset.path)"
    )
    assert shown[0] == "network.rank" and len(shown) < 10


def test_a_preset_is_shown_before_it_is_applied(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    page.press("#dreambooth_tab_training")
    page.choose("#dreambooth_preset", "Person")
    page.press("#dreambooth_apply_preset")
    page.wait("document.querySelector('.dreambooth-dialog[open]')")
    assert "cosine" in page.text(".dreambooth-dialog")
    page.press_text("Apply", ".dreambooth-dialog")
    page.wait("sdDreambooth.schema.value('rates.schedule') === 'cosine'")
