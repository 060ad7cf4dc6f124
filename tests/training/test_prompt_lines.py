"""Prompts of previews: kohya's switches and files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.training.previews.prompt_lines import PreviewPrompt, parse_line, read_prompts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a cat", PreviewPrompt("a cat")),
        ("a -- cat --n dog, bad", PreviewPrompt("a -- cat", negative="dog, bad")),
        (
            "riho --w 512 --h 768 --d 7 --s 28 --l 7.5 --ss k_euler_a",
            PreviewPrompt("riho", None, 512, 768, 7, 28, 7.5, "euler a"),
        ),
        ("--n", PreviewPrompt("", negative="")),
        ("a well--known thing --d 0", PreviewPrompt("a well--known thing", seed=0)),
    ],
)
def test_switches_are_read_as_kohya_reads_them(line: str, expected: PreviewPrompt) -> None:
    assert parse_line(line, "here") == expected


@pytest.mark.parametrize(("line", "told"), [("a --q 3", '"--q"'), ("a --w wide", '"wide"')])
def test_what_cannot_be_is_refused(line: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        parse_line(line, "previews.prompts")
    assert caught.value.where == "previews.prompts"


def test_the_three_kinds_of_file_say_the_same(tmp_path: Path) -> None:
    text, toml, data = tmp_path / "p.txt", tmp_path / "p.toml", tmp_path / "p.json"
    text.write_text("# prompts\n\na cat --n dog --s 12\na 猫 --n dog --s 12 --d 5\n", encoding="utf-8")
    toml.write_text(
        '[prompt]\nnegative_prompt = "dog"\nsample_steps = 12\n[[prompt.subset]]\nprompt = "a cat"\n'
        '[[prompt.subset]]\nprompt = "a 猫"\nseed = 5\n',
        encoding="utf-8",
    )
    rows = [
        {"prompt": "a cat", "negative_prompt": "dog", "sample_steps": 12},
        {"prompt": "a 猫", "negative_prompt": "dog", "sample_steps": 12, "seed": 5, "enum": 1},
    ]
    data.write_text(json.dumps(rows), encoding="utf-8")
    expected = [PreviewPrompt("a cat", "dog", steps=12), PreviewPrompt("a 猫", "dog", steps=12, seed=5)]
    assert read_prompts(text) == read_prompts(toml) == read_prompts(data) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", "{"),
        ("p.json", '{"prompt": "a"}'),
        ("p.json", '[{"promt": "a"}]'),
        ("p.json", '[{"prompt": "a", "width": "wide"}]'),
        ("p.toml", "a = 1"),
        ("p.toml", "a ="),
    ],
)
def test_broken_files_get_a_sentence(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError):
        read_prompts(tmp_path / name)
