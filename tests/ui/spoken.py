"""The sentences that a module may say, read off its source: values are {1}, {2} and so on, in their order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

LEAST_LETTERS = 10
ENDS = (".", "?")
PLACE = re.compile(r"\{\d+\}")
SENTENCE = re.compile(r"[^.?!]*[.?!](?=\s|$|\{)")


def templates(path: Path) -> list[str]:
    """Every text of a module that is not a docstring, in the order of the source."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    docstrings = {id(value) for value in statements if isinstance(value, ast.Constant)}
    return [found for node in outermost(tree, docstrings) if (found := template(node).strip())]


def sentences(path: Path) -> list[str]:
    """Those of them that are whole sentences with words of their own."""
    return [one for one in templates(path) if one.endswith(ENDS) and is_worded(one)]


def is_worded(text: str) -> bool:
    """Whether enough of a text is the same each time to know it again."""
    return " " in text and sum(letter.isalpha() for letter in text) >= LEAST_LETTERS


def outermost(tree: ast.AST, left_out: set[int]) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Texts and f-strings; those inside the values of an f-string are texts of their own."""
    for child in ast.iter_child_nodes(tree):
        if id(child) in left_out:
            continue
        if isinstance(child, ast.JoinedStr):
            yield child
            for value in child.values:
                if isinstance(value, ast.FormattedValue):
                    yield from outermost(value.value, left_out)
                    if isinstance(value.value, (ast.Constant, ast.JoinedStr)):
                        yield value.value
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child
        else:
            yield from outermost(child, left_out)


def template(node: ast.Constant | ast.JoinedStr) -> str:
    """A text with its values numbered."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts: list[str] = []
    number = 0
    for value in node.values:
        if isinstance(value, ast.FormattedValue):
            number += 1
            parts.append(f"{{{number}}}")
        else:
            assert isinstance(value, ast.Constant)
            parts.append(str(value.value))
    return "".join(parts)


def is_said_by(message: str, known: set[str], patterns: list[re.Pattern[str]]) -> bool:
    """Whether a message is a template, a sentence of one, or what one comes to with a word in a place."""
    return message in known or any(pattern.fullmatch(message) for pattern in patterns)


def patterns(known: set[str]) -> list[re.Pattern[str]]:
    """What the templates may come to, for those that are more than their places."""
    found = []
    for text in known:
        literal = PLACE.split(text)
        if (
            len(literal) > 1
            and sum(letter.isalpha() for part in literal for letter in part) >= LEAST_LETTERS // 2
        ):
            found.append(re.compile(".*".join(map(re.escape, literal))))
    return found


def with_sentences(texts: list[str]) -> set[str]:
    """Texts, and the sentences of those that hold several, numbered anew."""
    whole = set(texts)
    return whole | {renumbered(part.strip()) for text in texts for part in SENTENCE.findall(text)}


def renumbered(text: str) -> str:
    """The places of a text counted from 1."""
    numbers = iter(range(1, 100))
    return PLACE.sub(lambda place: f"{{{next(numbers)}}}", text)


def is_said_as(text: str, template: str) -> bool:
    """Whether a text, or a sentence of it, is what a template comes to."""
    pattern = re.compile(".*".join(map(re.escape, PLACE.split(template))), re.DOTALL)
    return pattern.search(text) is not None
