"""CLIP's byte-pair tokenizer, made from its merges file alone.

All of CLIP-L, OpenCLIP-H and OpenCLIP-bigG share this vocabulary; they differ only in the padding token.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import unicodedata

from lib_dreambooth.assets import CLIP_MERGES
from lib_dreambooth.models.cleaning import clean_text

START_ID = 49406
END_ID = 49407
# The merges file holds more lines than the vocabulary was made with.
NUM_MERGES = 49152 - 256 - 2
END_OF_WORD = "</w>"
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
SPECIALS = {"<|startoftext|>": START_ID, "<|endoftext|>": END_ID}


@functools.lru_cache(maxsize=1)
def byte_letters() -> dict[int, str]:
    """A printable letter for each of the 256 bytes, as GPT-2 assigns them."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    letters = {byte: chr(byte) for byte in printable}
    for index, byte in enumerate(b for b in range(256) if b not in letters):
        letters[byte] = chr(256 + index)
    return letters


def character_class(char: str) -> str:
    """`L`etter, `N`umber, `S`pace or `O`ther."""
    if char.isspace():
        return "S"
    first = unicodedata.category(char)[0]
    return first if first in "LN" else "O"


def split_words(text: str) -> list[str]:
    """Runs of letters, single digits, runs of other signs and English contractions, without spaces."""
    words = []
    position = 0
    while position < len(text):
        word = _word_at(text, position)
        if not word[0].isspace():
            words.append(word)
        position += len(word)
    return words


def _word_at(text: str, start: int) -> str:
    for fixed in (*SPECIALS, *CONTRACTIONS):
        if text.startswith(fixed, start):
            return fixed
    kind = character_class(text[start])
    end = start + 1
    if kind != "N":
        while end < len(text) and character_class(text[end]) == kind:
            end += 1
    return text[start:end]


class Tokenizer:
    """Text to token ids, without start, end and padding."""

    start_id = START_ID
    end_id = END_ID

    def __init__(self) -> None:
        with gzip.open(CLIP_MERGES, "rt", encoding="utf-8") as file:
            lines = file.read().split("\n")[1 : NUM_MERGES + 1]
        merges = [tuple(line.split()) for line in lines]
        # The order of the single letters is that of the printable bytes first, as in the table above.
        letters = list(byte_letters().values())
        names = [*letters, *(letter + END_OF_WORD for letter in letters), *("".join(pair) for pair in merges)]
        self.vocabulary = {name: index for index, name in enumerate([*names, *SPECIALS])}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._names = {index: name for name, index in self.vocabulary.items()}
        self._encode_word = functools.lru_cache(maxsize=65536)(self._merge_word)

    def __call__(self, text: str) -> list[int]:
        """The ids of a text of any length."""
        return [index for word in split_words(clean_text(text)) for index in self._encode_word(word)]

    def tables(self) -> tuple[dict[str, int], list[tuple[str, ...]]]:
        """The vocabulary and the merges in their order, as other tokenizers want them."""
        return dict(self.vocabulary), sorted(self._ranks, key=lambda pair: self._ranks[pair])

    def name(self, index: int) -> str:
        """The piece of text behind an id, with `</w>` where a word ends."""
        return self._names[index]

    def decode(self, ids: list[int]) -> str:
        """The text that these ids stand for; spaces come back after every word."""
        byte_of = {letter: byte for byte, letter in byte_letters().items()}
        joined = "".join(self._names[i] for i in ids if i not in (START_ID, END_ID))
        parts = joined.split(END_OF_WORD)
        return " ".join(
            bytes(byte_of[c] for c in part).decode("utf-8", errors="replace") for part in parts if part
        )

    def _merge_word(self, word: str) -> tuple[int, ...]:
        if word in SPECIALS:
            return (SPECIALS[word],)
        letters = byte_letters()
        pieces = [letters[byte] for byte in word.encode("utf-8")]
        pieces[-1] += END_OF_WORD
        while len(pieces) > 1:
            pairs = list(itertools.pairwise(pieces))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, NUM_MERGES))
            if best not in self._ranks:
                break
            pieces = _join_pair(pieces, best)
        return tuple(self.vocabulary[piece] for piece in pieces)


def _join_pair(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


@functools.lru_cache(maxsize=1)
def clip_tokenizer() -> Tokenizer:
    """The one tokenizer of this process; reading the merges takes about 0.1 s."""
    return Tokenizer()
