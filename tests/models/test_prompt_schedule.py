"""Prompts that change on their way: what the WebUI 1.10.1 makes of the same texts, tried out there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.models.prompt_schedule import composed, scheduled, without_comments, without_tags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(10, "")]),
        ("a (red:1.3) cat", [(10, "a (red:1.3) cat")]),
        ("a [cat:dog:3] b", [(3, "a cat b"), (10, "a dog b")]),
        ("a [cat:dog: 3 ] b", [(3, "a cat b"), (10, "a dog b")]),
        ("a [dog:.25]", [(2, "a "), (10, "a dog")]),
        ("a [cat::0.25]", [(2, "a cat"), (10, "a ")]),
        # A number with a point is a share of all steps, even above 1; without one it is a step.
        ("[a:b:1]", [(1, "a"), (10, "b")]),
        ("[a:b:1.0]", [(10, "a")]),
        ("[a:b:2.5]", [(10, "a")]),
        ("[a:b:15]", [(10, "a")]),
        ("[a:b:0]", [(10, "b")]),
        ("[a:b:-2]", [(10, "b")]),
        ("[a:b:5e-1]", [(10, "b")]),
        ("[a:[b:c:7]:3]!", [(3, "a!"), (7, "b!"), (10, "c!")]),
        ("[[a:b:7]:c:3]!", [(3, "a!"), (7, "c!"), (10, "c!")]),
        ("[(a:1.2):(b:1.3):4]", [(4, "(a:1.2)"), (10, "(b:1.3)")]),
        ("([a:b:4]:1.2)", [(4, "(a:1.2)"), (10, "(b:1.2)")]),
        ("[[a]:4]", [(4, ""), (10, "[a]")]),
        ("[a:1.2]", [(10, "")]),
        ("[a:b]", [(10, "[a:b]")]),
        ("[a:b:c:0.5]", [(10, "[a:b:c:0.5]")]),
        (r"\[a:b:3\]", [(10, r"\[a:b:3\]")]),
        ("(a:b:c)", [(10, "(a:b:c)")]),
        ("a | b", [(10, "a | b")]),
    ],
)  # fmt: skip
def test_editing(text: str, expected: list[tuple[int, str]]) -> None:
    assert scheduled(text, 10) == expected


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("[a|b] c", ["a c", "b c", "a c", "b c"]),
        ("[fe|]male", ["female", "male", "female", "male"]),
        ("[a||b]", ["a", "", "b", "a"]),
        ("[a|b|c|d]", ["a", "b", "c", "d"]),
        ("[(a:1.1)|[b|c]]", ["(a:1.1)", "c", "(a:1.1)", "c"]),
        ("[a|[b:c:2]]", ["a", "b", "a", "c"]),
    ],
)
def test_turns(text: str, turns: list[str]) -> None:
    assert scheduled(text, 4) == list(enumerate(turns, start=1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [unbalanced", [(10, "a [unbalanced")]),
        ("a) b]", [(10, "a) b]")]),
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("a cat :) [b:c:3]", [(3, "a cat :) b"), (10, "a cat :) c")]),
        ("[" * 3000 + "a:b:3]", [(10, "[" * 3000 + "a:b:3]")]),
    ],
)
def test_brackets_that_do_not_match(text: str, expected: list[tuple[int, str]]) -> None:
    assert scheduled(text, 10) == expected


@given(st.text(alphabet="ab [](:|)\\.13,"), st.integers(1, 30))
def test_every_step_has_a_text(text: str, num_steps: int) -> None:
    found = scheduled(text, num_steps)
    ends = [end for end, _ in found]
    assert ends == sorted(set(ends)) and ends[0] >= 1 and ends[-1] == num_steps
    if "|" not in text and ":" not in text:
        assert found == [(num_steps, text)]


WORDS = st.text(alphabet="ab ", max_size=4)


@given(WORDS, WORDS, WORDS, WORDS, st.integers(1, 20))
def test_a_switch_inside_any_words(before: str, first: str, second: str, after: str, when: int) -> None:
    text = f"{before}[{first}:{second}:{when}]{after}"
    expected = {when: f"{before}{first}{after}"}
    if when < 20:
        expected[20] = f"{before}{second}{after}"
    assert scheduled(text, 20) == list(expected.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("a cat AND a dog", [("a cat", 1.0), (" a dog", 1.0)]),
        ("a cat :1.2 AND a dog:0.5", [("a cat", 1.2), (" a dog", 0.5)]),
        ("a cat: -.5 AND", [("a cat", -0.5), ("", 1.0)]),
        ("HAND ANDY and", [("HAND ANDY and", 1.0)]),
        ("a (cat:1.2)", [("a (cat:1.2)", 1.0)]),
        ("a cat: 3", [("a cat", 3.0)]),
        ("a\ncat AND b", [("a\ncat", 1.0), (" b", 1.0)]),
    ],
)
def test_and(text: str, expected: list[tuple[str, float]]) -> None:
    assert composed(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", "a cat"),
        ("a cat # black", "a cat \n"),
        ("a # b\nc", "a \nc"),
        ("# all of it\na cat", "\na cat"),
        ("a\n# b\nc", "a\nc"),
    ],
)
def test_comments(text: str, expected: str) -> None:
    assert without_comments(text) == expected


def test_tags() -> None:
    assert without_tags("a <lora:some name:0.8> cat <hypernet:x:1>") == "a  cat "
    assert without_tags("<3 a < b > c <lora:>") == "<3 a < b > c <lora:>"
