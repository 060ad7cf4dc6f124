"""Text to tokens, against transformers' tokenizers and against the library that hosts clean prompts with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lib_dreambooth.models.chunks import COMMA_ID
from lib_dreambooth.models.cleaning import clean_text
from lib_dreambooth.models.tokenizer import END_ID, START_ID, clip_tokenizer

# Signs from all over, without what only newer Unicode tables know.
TEXTS = st.text(
    st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=("Cs", "Cn", "Co")), max_size=24
)
WORDS = st.lists(
    st.sampled_from(
        ["a photo", "1girl", "solo,", "(red:1.3)", "it's", "I'll", "don’t", "“Zoë”", "ＦＵＬＬ　ｗｉｄｔｈ",
         "、", "。",
         "（強調）", "ﬁne", "&amp;", "&lt;3", "<lora:x:1>", "日本語",
         "한국어", "中文，", "ｶﾞ", "…", "—", "🙂", "e\u0301",
         "ÀÉÎ", "ß", "İ", "50%", "___", "\n", "\t", "#tag", "BREAK", "ﾃｽﾄ", "ǅ"]
    ),
    max_size=8,
).map(" ".join)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The vocabulary and the merges as transformers wants them."""
    folder: Path = tmp_path_factory.mktemp("clip")
    vocabulary, merges = clip_tokenizer().tables()
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    return str(folder / "vocab.json"), str(folder / "merges.txt")


@pytest.fixture(scope="module")
def hosts_tokenizer(files: tuple[str, str]) -> Any:
    """transformers' own; in the WebUI's environment it is the slow one, which cleans text with ftfy."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(*files)


@pytest.fixture(scope="module")
def fast_tokenizer(files: tuple[str, str]) -> Any:
    from transformers import CLIPTokenizerFast

    return CLIPTokenizerFast(*files)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer([text], add_special_tokens=False)["input_ids"][0]


def test_known_ids() -> None:
    tokenizer = clip_tokenizer()
    assert tokenizer("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert tokenizer(",") == [COMMA_ID]
    assert tokenizer("<|startoftext|> <|endoftext|>") == [START_ID, END_ID]
    assert tokenizer("") == [] == tokenizer(" \n ")
    assert tokenizer.name(2368) == "cat</w>"


@given(WORDS)
@settings(max_examples=60, deadline=None)
def test_equals_the_fast_tokenizer_on_clean_text(fast_tokenizer: Any, text: str) -> None:
    text = clean_text(text)
    assert clip_tokenizer()(text) == ids_of(fast_tokenizer, text)


@pytest.mark.needs("ftfy", "transformers<5")
@given(WORDS)
@settings(max_examples=100, deadline=None)
@example("“a cat”，　（ｒｅｄ） & &amp; &quot;b&quot; ﬁsh don’t")
def test_equals_the_hosts_tokenizer(hosts_tokenizer: Any, text: str) -> None:
    assert clip_tokenizer()(text) == ids_of(hosts_tokenizer, text)


@pytest.mark.needs("ftfy")
@given(TEXTS)
@settings(max_examples=200, deadline=None)
@example("a\x85b")
@example("&lt;tag&gt;\n<b>&amp;")
@example("&eacute; &#39; &#x41; &no; &#1234567890;")
@example("\x1b[36;44mblue\x1b[0m \x81\x8d")
@example("a\r\nb\u2028c")
def test_cleaning_equals_ftfy(text: str) -> None:
    import ftfy

    # Guessing at text in a wrong encoding is what we leave out.
    expected = ftfy.fix_text(text, fix_encoding=False)
    assert clean_text(text) == " ".join(expected.split()).lower()


def test_cleaning_pairs_surrogates() -> None:
    assert clean_text("\ud83d\ude42 \ude42") == "🙂 \ufffd"


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_every_text_has_tokens_and_comes_back(text: str) -> None:
    assume("<|" not in text)
    tokenizer = clip_tokenizer()
    ids = tokenizer(text)
    assert all(0 <= index < START_ID for index in ids)
    assert tokenizer.decode(ids).replace(" ", "") == clean_text(text).replace(" ", "")
