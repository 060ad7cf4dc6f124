"""What the page says in other languages, and the names that its search knows."""

from __future__ import annotations

import json

import pytest

from lib_dreambooth.ui.words import catalogue, languages
from tests.browser.chromium import Chromium
from tests.browser.served import Served, in_language, show
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
# The names that kohya's users quote; what they mean is the first thing shown.
FIRST = {
    "network_dim": "network.rank",
    "Network Rank (Dimension)": "network.rank",
    "Network Alpha": "network.alpha",
    "Repeats": "concepts.0.repeats",
    "Clip skip": "model.clip_skip",
    "Keep tokens": "captions.keep_tokens",
}
SAID = """((wanted) => {
    const db = window.sdDreambooth;
    db.words.use(wanted.words);
    const isLine = (text) => text.includes(" pictures x ");
    return wanted.texts.map((text) => isLine(text) ? db.arithmetic.said(text) : db.words.said(text));
})"""
# What the program says, and how a Japanese page says it.
IN_JAPANESE = {
    "the warm-up (20 epochs) is longer than the run (10 epochs).": (
        "ウォームアップ（20 epochs）が学習全体（10 epochs）より長くなっています。"
    ),
    "3 pictures are smaller than the training size: `a.png` is enlarged 2.3 times.": (
        "3 枚が学習サイズより小さい画像です。`a.png` は 2.3 倍に拡大されます。"
    ),
    "riho stopped while drawing samples, at step 120 of 3,000. It can go on after step 100.": (
        "riho はステップ 120（全 3,000）で止まりました（サンプルを描いています）。"
        "ステップ 100 の後から続けられます。"
    ),
    "Seed = 3 has no effect in this run; it applies where Network Type is lora or loha.": (
        "Seed（シード） = 3 は今回の学習では効きません。効くのは次のとき："
        "Network Type（ネットワークの種類） = lora または loha"
    ),
    "13 pictures x 3 repeats = 39 visits, in 2 buckets of 25 and 14; until stopped": (
        "画像 13 枚 x 繰り返し 3 = 39 回, 2 個のバケット 25 + 14; 止めるまで"
    ),
    "<b>nobody</b> knows this sentence.": "<b>nobody</b> knows this sentence.",
}


def test_settings_are_found_by_any_name(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    for language in ("en", *languages()):
        queries = {**FOREIGN, **OWN.get(language, {})}
        wanted = {"words": catalogue(language), "queries": list(queries)}
        found = page.js(f"{FIND}({json.dumps(wanted)})")
        assert [query for query, path in queries.items() if path not in found[query]] == [], language
        assert [query for query in queries if len(found[query]) > MOST_FOUND] == [], language
    page.close()


def test_sentences_of_the_program_are_said_with_their_values(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    wanted = {"words": catalogue("ja"), "texts": list(IN_JAPANESE)}
    assert page.js(f"{SAID}({json.dumps(wanted)})") == list(IN_JAPANESE.values())
    english = {"words": catalogue("en"), "texts": list(IN_JAPANESE)}
    assert page.js(f"{SAID}({json.dumps(english)})") == list(IN_JAPANESE)
    page.close()


def test_names_of_other_tools_find_their_setting_first(browser: Chromium, served: Served) -> None:
    page = served.open(browser)
    shown = (
        "[...document.querySelectorAll('#dreambooth_panel_training .dreambooth-field')]"
        ".filter((one) => one.checkVisibility()).map((one) => one.dataset.path)"
    )
    for language in ("en", *languages()):
        in_language(page, language)
        show(page, "training")
        for name, path in FIRST.items():
            page.type("#dreambooth_search", name)
            page.wait("document.querySelector('.dreambooth-found').innerText !== ''")
            found = page.js(shown)
            assert found[0] == path, (language, name, found)
            assert len(found) < MOST_FOUND
    assert page.errors == []
    page.close()
