"""What a prompt of the WebUI says at each step, and which prompts it is made of.

`[from:to:when]` changes a prompt on its way, `[a|b]` gives them their turns, AND puts prompts beside each
other, `#` hides the rest of a line. Pure text; weights and chunks come later.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

_LINE_COMMENT = re.compile(r"(^|\n)#[^\n]*(\n|$)")
_COMMENT = re.compile(r"#[^\n]*(\n|$)")
_TAG = re.compile(r"<\w+:[^>]+>")
_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"(?P<text>(?:\s|.)*?)(?:\s*:\s*(?P<weight>[-+]?(?:\d+\.?|\d*\.\d+)))?\s*")
_PLAIN = re.compile(r"(?:[^\\\[\]():|]|\\.)+")
_WHEN = re.compile(r":\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\]")
_RAW = "[]():"
# Python's stack ends at a few hundred; nobody means that many.
_MAX_DEPTH = 100


def without_comments(text: str) -> str:
    """The text without what `#` hides, as the WebUI leaves it."""
    return _COMMENT.sub("\n", _LINE_COMMENT.sub("\n", text))


def without_tags(text: str) -> str:
    """The text without `<lora:...>` and its like, which act on the model instead."""
    return _TAG.sub("", text)


def composed(text: str) -> list[tuple[str, float]]:
    """The prompts that AND joins, each with its weight: the number behind a last colon."""
    found = []
    for part in _AND.split(text):
        match = _WEIGHT.fullmatch(part)
        assert match is not None, part
        found.append((match["text"], float(match["weight"] or 1.0)))
    return found


def scheduled(text: str, num_steps: int) -> list[tuple[int, str]]:
    """The texts of a prompt in order, each with the last step that it counts for, as the WebUI counts them.

    Where brackets do not match, the WebUI reads a prompt differently from one start to the next; here all
    that is whole counts.
    """
    nodes = _Parser(text).whole() if _depth(text) <= _MAX_DEPTH else None
    if nodes is None:
        return [(num_steps, text)]
    ends = {num_steps}
    for node in nodes:
        node.collect(ends, num_steps)
    return [(end, "".join(node.at(end, num_steps) for node in nodes)) for end in sorted(ends)]


def _depth(text: str) -> int:
    """How many brackets are open at once, at most."""
    depths = itertools.accumulate((sign in "([") - (sign in ")]") for sign in text)
    return max(depths, default=0)


@dataclass(frozen=True)
class _Text:
    text: str

    def at(self, step: int, num_steps: int) -> str:
        return self.text

    def collect(self, ends: set[int], num_steps: int) -> None:
        """Nothing changes here."""


@dataclass(frozen=True)
class _Group:
    """Nodes between signs that stay."""

    nodes: tuple[_Node, ...]

    def at(self, step: int, num_steps: int) -> str:
        return "".join(node.at(step, num_steps) for node in self.nodes)

    def collect(self, ends: set[int], num_steps: int) -> None:
        for node in self.nodes:
            node.collect(ends, num_steps)


@dataclass(frozen=True)
class _Switch:
    """One text up to a step, another from then on."""

    before: _Group
    after: _Group
    number: str

    def when(self, num_steps: int) -> int:
        """Numbers with a point are shares of all steps."""
        value = float(self.number)
        return min(num_steps, int(value * num_steps if "." in self.number else value))

    def at(self, step: int, num_steps: int) -> str:
        return (self.before if step <= self.when(num_steps) else self.after).at(step, num_steps)

    def collect(self, ends: set[int], num_steps: int) -> None:
        self.before.collect(ends, num_steps)
        self.after.collect(ends, num_steps)
        if self.when(num_steps) >= 1:
            ends.add(self.when(num_steps))


@dataclass(frozen=True)
class _Turns:
    """One text after the other, step by step."""

    choices: tuple[_Group, ...]

    def at(self, step: int, num_steps: int) -> str:
        return self.choices[(step - 1) % len(self.choices)].at(step, num_steps)

    def collect(self, ends: set[int], num_steps: int) -> None:
        ends.update(range(1, num_steps + 1))


_Node = _Text | _Group | _Switch | _Turns
_Found = tuple[_Node, int] | None


class _Parser:
    """Reads a prompt from left to right; what is no whole bracket stays text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._groups: dict[int, tuple[_Group, int]] = {}

    def whole(self) -> list[_Node] | None:
        """The nodes of the text; None where it holds a sign that only means something in brackets."""
        nodes: list[_Node] = []
        position = 0
        while position < len(self.text):
            group, end = self.group(position)
            nodes += group.nodes
            if end == position:
                if self.text[position] not in _RAW:
                    return None
                nodes.append(_Text(self.text[position]))
                end += 1
            position = end
        return nodes

    def group(self, start: int) -> tuple[_Group, int]:
        """As many nodes as there are from here on, and where they end."""
        if start not in self._groups:
            nodes: list[_Node] = []
            position = start
            while (found := self.node(position)) is not None:
                nodes.append(found[0])
                position = found[1]
            self._groups[start] = _Group(tuple(nodes)), position
        return self._groups[start]

    def node(self, start: int) -> _Found:
        if plain := _PLAIN.match(self.text, start):
            return _Text(plain[0]), plain.end()
        kinds: dict[str, tuple[Callable[[int], _Found], ...]] = {
            "(": (self.round,),
            "[": (self.switch, self.turns, self.square),
        }
        for kind in kinds.get(self.text[start : start + 1], ()):
            if found := kind(start + 1):
                return found
        return None

    def round(self, start: int) -> _Found:
        inner, end = self.group(start)
        nodes: tuple[_Node, ...] = (_Text("("), inner)
        if self.is_at(end, ":"):
            weight, end = self.group(end + 1)
            nodes = (*nodes, _Text(":"), weight)
        return (_Group((*nodes, _Text(")"))), end + 1) if self.is_at(end, ")") else None

    def square(self, start: int) -> _Found:
        inner, end = self.group(start)
        return (_Group((_Text("["), inner, _Text("]"))), end + 1) if self.is_at(end, "]") else None

    def switch(self, start: int) -> _Found:
        first, end = self.group(start)
        if not self.is_at(end, ":"):
            return None
        second, second_end = self.group(end + 1)
        if when := _WHEN.match(self.text, second_end):
            return _Switch(first, second, when["number"]), when.end()
        if when := _WHEN.match(self.text, end):
            return _Switch(_Group(()), first, when["number"]), when.end()
        return None

    def turns(self, start: int) -> _Found:
        choice, end = self.group(start)
        choices = [choice]
        while self.is_at(end, "|"):
            choice, end = self.group(end + 1)
            choices.append(choice)
        return (_Turns(tuple(choices)), end + 1) if len(choices) > 1 and self.is_at(end, "]") else None

    def is_at(self, position: int, sign: str) -> bool:
        return self.text.startswith(sign, position)
