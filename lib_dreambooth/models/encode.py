"""Prompts to the states that the UNet reads.

B: prompts, N: tokens of all chunks with their starts and ends, D: width of an encoder, P: width of the pooled
state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lib_dreambooth.models.chunks import (
    CHUNK_LENGTH,
    Row,
    Tokens,
    Word,
    Words,
    kohya_rows,
    webui_rows,
    word_at,
    words_of,
)
from lib_dreambooth.models.prompt import parse_prompt
from lib_dreambooth.models.text_encoder import TextEncoder
from lib_dreambooth.models.tokenizer import END_ID, clip_tokenizer

EMPHASES = ("Original", "None", "Ignore", "No norm")


@dataclass(frozen=True)
class TextStyle:
    """How prompts become states; the defaults are the WebUI's."""

    kind: str = "webui"  # "webui": each chunk with its own start and end; "kohya": stitched
    emphasis: str = "Original"  # one of EMPHASES; kohya's weighted captions are "No norm", plain ones "None"
    comma_backtrack: int = 20
    clip_skip: int = 1
    max_tokens: int = CHUNK_LENGTH  # only in kohya's style: a multiple of 75 that every text is padded to
    cut_at: int = 0  # only in the WebUI's style: what is longer in tokens loses its end; 0: nothing does


@dataclass(frozen=True, eq=False)
class TextStates:
    """What prompts say: states [B, N, D] of each encoder, and the pooled state [B, P] for SDXL."""

    states: tuple[Tensor, ...]
    pooled: Tensor | None = None

    def joined(self) -> Tensor:
        """What cross-attention reads: the encoders side by side."""
        return self.states[0] if len(self.states) == 1 else torch.cat(self.states, dim=-1)

    def cut(self, length: int) -> TextStates:
        """The first so many states of each prompt; an encoder looks back only, so they do not change."""
        return replace(self, states=tuple(states[:, :length] for states in self.states))

    def zeroed(self) -> TextStates:
        """The same shapes, all zero: what the WebUI gives SDXL for an empty negative prompt."""
        pooled = None if self.pooled is None else torch.zeros_like(self.pooled)
        return TextStates(tuple(torch.zeros_like(states) for states in self.states), pooled)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Words that stand for vectors: for each name the vectors [V, D] of each text encoder's part."""

    vectors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def words(self) -> Words:
        tokenizer = clip_tokenizer()
        return words_of(
            [
                Word(name, tuple(tokenizer(name)), max(len(vectors) for vectors in parts.values()))
                for name, parts in self.vectors.items()
            ]
        )

    def with_others(self, others: Embeddings) -> Embeddings:
        """Both together; where a name is in both, that of `others` counts."""
        return Embeddings({**self.vectors, **others.vectors}) if others.vectors else self

    def of_part(self, part: str) -> dict[str, Tensor]:
        return {name: parts[part] for name, parts in self.vectors.items() if part in parts}


NO_EMBEDDINGS = Embeddings()
DEFAULT_STYLE = TextStyle()


def encode_prompts(
    encoders: Sequence[TextEncoder],
    prompts: Sequence[str],
    style: TextStyle = DEFAULT_STYLE,
    embeddings: Embeddings = NO_EMBEDDINGS,
    *,
    share_mean: bool = False,
) -> TextStates:
    """The states of the prompts; shorter ones are filled up with empty chunks. Gradients flow.

    `share_mean` is for the texts of one prompt that changes on its way: the WebUI restores the mean over all.
    """
    words = embeddings.words()
    states = []
    pooled = None
    for encoder in encoders:
        table = rows_of(prompts, encoder.rule.pad_id, style, words)
        found, of_first = _encode_table(
            encoder, table, style, embeddings.of_part(encoder.part), share_mean=share_mean
        )
        states.append(found)
        pooled = of_first if of_first is not None else pooled
    return TextStates(tuple(states), pooled)


def rows_of(prompts: Sequence[str], pad_id: int, style: TextStyle, words: Words) -> list[list[Row]]:
    """The rows of each prompt, equally many for all."""
    table = []
    for prompt in prompts:
        pieces = tokens_of(prompt, style)
        if style.kind == "kohya":
            table.append(kohya_rows(pieces, words, style.max_tokens, pad_id))
        else:
            rows = webui_rows(cut(pieces, style.cut_at, words), words, style.comma_backtrack)
            table.append([row.padded_with(pad_id) for row in rows])
    longest = max(len(rows) for rows in table)
    [empty] = [row.padded_with(pad_id) for row in webui_rows([], {}, 0)]
    return [rows + [empty] * (longest - len(rows)) for rows in table]


def unpadded_length(prompts: Sequence[str], style: TextStyle, embeddings: Embeddings = NO_EMBEDDINGS) -> int:
    """How many states the longest prompt has up to its end, without what it is filled up with."""
    words = embeddings.words()
    lengths = []
    for prompt in prompts:
        pieces = tokens_of(prompt, style)
        if style.kind == "kohya":
            lengths.append(2 + min(sum(length_of(piece.ids, words) for piece in pieces), style.max_tokens))
        else:
            *full, last = webui_rows(cut(pieces, style.cut_at, words), words, style.comma_backtrack)
            lengths.append(len(full) * len(last.ids) + last.ids.index(END_ID) + 1)
    return max(lengths)


def tokens_of(prompt: str, style: TextStyle) -> list[Tokens]:
    """A prompt's pieces in tokens, with their weights."""
    tokenizer = clip_tokenizer()
    if style.emphasis == "None":
        return [Tokens(tuple(tokenizer(prompt)))]
    has_breaks = style.kind == "webui"
    return [
        Tokens(
            () if has_breaks and piece.is_break else tuple(tokenizer(piece.text)),
            piece.weight,
            piece.is_break,
        )
        for piece in parse_prompt(prompt, has_breaks=has_breaks)
    ]


def cut(pieces: Sequence[Tokens], most: int, words: Words | None = None) -> list[Tokens]:
    """The pieces up to `most` places; all of them where it is 0. A word takes a place for each vector."""
    if not most:
        return list(pieces)
    kept, left = [], most
    for piece in pieces:
        ids: tuple[int, ...] = ()
        for found, places in spelled(piece.ids, words or {}):
            left -= places
            if left < 0:
                # What comes after the first that does not fit is lost too.
                left = 0
                break
            ids += found
        kept.append(replace(piece, ids=ids))
    return kept


def spelled(ids: tuple[int, ...], words: Words) -> Iterator[tuple[tuple[int, ...], int]]:
    """Token by token, or all of a word's at once, with the places that they take."""
    position = 0
    while position < len(ids):
        word = word_at(ids, position, words)
        length = len(word.ids) if word else 1
        yield ids[position : position + length], word.num_vectors if word else 1
        position += length


def length_of(ids: tuple[int, ...], words: Words) -> int:
    """The places that tokens take."""
    return sum(places for _, places in spelled(ids, words))


def layer_of(encoder: TextEncoder, style: TextStyle) -> int:
    """Which layer from the end is used: clip skip moves it only where the family's host lets it."""
    rule = encoder.rule
    takes_skip = rule.takes_clip_skip or (style.kind == "kohya" and rule.has_final_norm)
    return rule.layer - 1 + style.clip_skip if takes_skip else rule.layer


def _encode_table(
    encoder: TextEncoder,
    table: list[list[Row]],
    style: TextStyle,
    vectors: Mapping[str, Tensor],
    *,
    share_mean: bool,
) -> tuple[Tensor, Tensor | None]:
    """States [B, N, D] and pooled [B, P] of prompts in rows; one pass for each column of chunks."""
    layer = layer_of(encoder, style)
    columns = []
    pooled = None
    for index in range(len(table[0])):
        rows = [prompt[index] for prompt in table]
        states, of_column = encoder.encode(rows, layer, vectors)
        pooled = of_column if index == 0 else pooled
        columns.append(weighed(states, rows, style.emphasis, share_mean=share_mean))
    return stitched(columns) if style.kind == "kohya" else torch.cat(columns, dim=1), pooled


def weighed(states: Tensor, rows: Sequence[Row], emphasis: str, *, share_mean: bool = False) -> Tensor:
    """States times the weights of their tokens; "Original" then restores each row's mean, or all rows'."""
    if emphasis in ("None", "Ignore"):
        return states
    weights = torch.tensor([row.weights for row in rows], device=states.device)
    if bool((weights == 1.0).all()):
        return states
    changed = states * weights[..., None].to(states.dtype)
    if emphasis == "No norm":
        return changed
    over = (0, 1, 2) if share_mean else (1, 2)
    return changed * (states.mean(over, keepdim=True) / changed.mean(over, keepdim=True))


def stitched(columns: Sequence[Tensor]) -> Tensor:
    """Kohya's form of several chunks: the first start, 75 states of each chunk, the last end."""
    inner = [column[:, 1:-1] for column in columns]
    return torch.cat([columns[0][:, :1], *inner, columns[-1][:, -1:]], dim=1)
