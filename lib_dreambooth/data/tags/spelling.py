"""A tagger's spelling of a tag and the one that goes into captions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lib_dreambooth.data.captions.tagtext import FACES

BRACKETS = re.compile(r"(?<!\\)([()])")


@dataclass(frozen=True)
class Spelling:
    """`underscores` keeps `long_hair`; `escape` writes `\\(` as prompts with weights need it."""

    underscores: bool = False
    escape: bool = False

    def __call__(self, tag: str) -> str:
        if not self.underscores and tag not in FACES:
            tag = tag.replace("_", " ")
        return BRACKETS.sub(r"\\\1", tag) if self.escape else tag


PLAIN = Spelling()
