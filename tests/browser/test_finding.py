"""The search of the page finds settings by their names in every language and tool."""

from __future__ import annotations

import json

import pytest

from lib_dreambooth.ui.words import catalogue, languages
from tests.browser.chromium import Chromium
from tests.browser.served import Served, show
from tests.ui.names_of_settings import FOREIGN, OWN

pytestmark = [pytest.mark.browser, pytest.mark.slow]
# The paths that the search leaves, for each name asked for.
FIND = """((wanted) => {
    const db = window.sdDreambooth;
    db.words.use(wanted.words);
    const fields = db.schema.groups().flatMap((group) => group.fields);
    const names = fields.map((field) => [field["x-path"], db.finding.names(field)]);
    const found = (words) => names.filter((one) => db.finding.isFound(one[1], words)).map((one) => one[0]);
    return Object.fromEntries(wanted.queries.map((query) => [query, found(db.finding.asked(query))]));
})"""
MOST_FOUND = 12


def test_settings_are_found_by_any_name(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    for language in ("en", *languages()):
        queries = {**FOREIGN, **OWN.get(language, {})}
        wanted = {"words": catalogue(language), "queries": list(queries)}
        found = page.js(f"{FIND}({json.dumps(wanted)})")
        assert [query for query, path in queries.items() if path not in found[query]] == [], language
        assert [query for query in queries if len(found[query]) > MOST_FOUND] == [], language
    page.close()


def test_what_is_typed_leaves_the_settings_found(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    show(page, "training")
    typed = (
        "((text) => { const box = document.querySelector('#dreambooth_search'); box.value = text;"
        " box.dispatchEvent(new Event('input')); return [...document.querySelectorAll("
        "'#dreambooth_panel_training .dreambooth-field')].filter((one) => one.checkVisibility())"
        ".map((one) => one.dataset.path); })"
    )
    assert page.js(f"{typed}({json.dumps('Network Rank (Dimension)')})") == [
        "network.rank",
        "network.conv_rank",
    ]
    assert "concepts.0.repeats" in page.js(f"{typed}({json.dumps('num_repeats')})")
    page.close()
