"""`{a|b|c}` in captions: one of them is drawn each time; `{{` and `}}` are plain brackets."""

from __future__ import annotations

import re
from collections.abc import Callable

# Left to right, so that `{{{a|b}}}` is a bracket, a choice and a bracket. There is no nesting.
PART = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


def resolve_wildcards(text: str, pick: Callable[[int], int]) -> str:
    """`text` with each choice made by `pick`, which is given the number of options."""

    def resolved(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        options = match[1].split("|")
        return options[pick(len(options))] if len(options) > 1 else options[0]

    return PART.sub(resolved, text)
