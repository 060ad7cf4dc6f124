"""What a machine can tell of a page as it is drawn.

What is cut off, overlaps, cannot be read, has no name, or hides where the focus is.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from tests.browser.chromium import Page

LEAST_CONTRAST = 4.5
# What can be used, as the accessibility tree of the browser calls it.
USED = {
    "button", "checkbox", "combobox", "link", "listbox", "menuitem", "progressbar", "radio", "searchbox",
    "slider", "spinbutton", "switch", "tab", "textbox",
}  # fmt: skip
LOOKING = Path(__file__).with_name("looking.js")


@functools.cache
def script() -> str:
    return LOOKING.read_text(encoding="utf-8").strip()


def faults(page: Page) -> dict[str, list[str]]:
    """What is wrong with what is seen now, by kind."""
    found = page.js(f"{script()}.faults({LEAST_CONTRAST})")
    assert isinstance(found, dict)
    return {kind: told for kind, told in found.items() if told}


def hidden_focus(page: Page) -> list[str]:
    """Controls that look the same with the focus as without."""
    return list(page.js(f"{script()}.hiddenFocus()"))


def nameless(page: Page) -> list[str]:
    """Controls that a screen reader has no name for, as the browser itself names them."""
    root = page.send("Runtime.evaluate", expression="document.querySelector('#dreambooth_root')")["result"]
    nodes = page.send("Accessibility.queryAXTree", objectId=root["objectId"])["nodes"]
    all_told = [told(one) for one in nodes if not one.get("ignored")]
    return [json.dumps(one) for one in all_told if one["role"] in USED and not one["name"]]


def told(node: dict[str, Any]) -> dict[str, Any]:
    """Role and name of a node of the accessibility tree."""
    found = {key: str(node.get(key, {}).get("value", "")).strip() for key in ("role", "name")}
    return {**found, "node": node.get("backendDOMNodeId")}
