"""What the rows of a new word are at first, from the table of a text encoder. Pure.

V: vectors of the word, D: width of the encoder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lib_dreambooth.diffusion.draws import Draw

# Token ids of a text, without start, end and padding.
Tokenize = Callable[[str], Sequence[int]]
# The last two rows of CLIP's table are the start and the end, which are no words.
NUM_SPECIALS = 2
WORD_SIGNS = frozenset("LNM")


def concepts_of(text: str) -> list[str]:
    """The tags of a text, each as plain words: letters and numbers alone, so that no sign becomes a row."""
    tags = (" ".join(plain(tag).split()) for tag in text.split(","))
    return [tag for tag in tags if tag]


def plain(text: str) -> str:
    """The text with a space in place of every sign that is no letter, number or accent."""
    return "".join(sign if unicodedata.category(sign)[0] in WORD_SIGNS else " " for sign in text)


def average_length(table: Tensor) -> float:
    """How long the rows of the model's own words are on average."""
    return float(table[:-NUM_SPECIALS].detach().float().norm(dim=1).mean())


def first_rows(concepts: Sequence[str], count: int, table: Tensor, tokenize: Tokenize, draw: Draw) -> Tensor:
    """The rows [V, D] of a word: one for each concept, the rest in directions of chance; float32.

    A concept of several tokens is their mean, as long as they are on average; a row of chance is as long as
    the model's own words.
    """
    rows = [row_of(concept, table, tokenize) for concept in concepts[:count]]
    random = draw.normal_tensor((count - len(rows), table.shape[1])).to(table.device)
    chance = random / random.norm(dim=1, keepdim=True) * average_length(table)
    return torch.cat([*(row[None] for row in rows), chance])


def row_of(concept: str, table: Tensor, tokenize: Tokenize) -> Tensor:
    """The row [D] of a concept."""
    tokens = table[list(tokenize(concept))].detach().float()
    if len(tokens) == 1:
        return tokens[0]
    mean = tokens.mean(dim=0)
    return mean / mean.norm() * tokens.norm(dim=1).mean()
