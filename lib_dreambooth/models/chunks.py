"""Token ids of a prompt in rows of 77, as the WebUI and as kohya's scripts cut them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lib_dreambooth.models.tokenizer import END_ID, START_ID

CHUNK_LENGTH = 75
COMMA_ID = 267
# Stands in the places that an embedding's vectors take.
VECTOR_ID = 0


@dataclass(frozen=True)
class Word:
    """An embedding in a prompt: how its name is written in tokens, and how many vectors replace it."""

    name: str
    ids: tuple[int, ...]
    num_vectors: int


@dataclass(frozen=True)
class Tokens:
    """A piece of a prompt in tokens; a break ends the chunk."""

    ids: tuple[int, ...]
    weight: float = 1.0
    is_break: bool = False


@dataclass(frozen=True)
class Vectors:
    """`count` vectors of an embedding, from its `first` on, that stand at `offset` in a row."""

    name: str
    offset: int
    first: int
    count: int


@dataclass(frozen=True)
class Row:
    """What the encoder sees at once: start, 75 tokens, end; their weights; where vectors stand."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    vectors: tuple[Vectors, ...] = ()

    def padded_with(self, pad_id: int) -> Row:
        """The same row with another padding behind the first end token."""
        if pad_id == END_ID:
            return self
        first = self.ids.index(END_ID) + 1
        return replace(self, ids=self.ids[:first] + (pad_id,) * (len(self.ids) - first))


# Embeddings by their name's first token, the longest name first.
Words = Mapping[int, Sequence[Word]]


def words_of(words: Sequence[Word]) -> dict[int, list[Word]]:
    """Embeddings in the order in which they are looked for."""
    found: dict[int, list[Word]] = {}
    for word in sorted(words, key=lambda word: -len(word.ids)):
        if word.ids:
            found.setdefault(word.ids[0], []).append(word)
    return found


def word_at(ids: Sequence[int], position: int, words: Words) -> Word | None:
    """The embedding whose name stands at this position."""
    for word in words.get(ids[position], ()):
        if tuple(ids[position : position + len(word.ids)]) == word.ids:
            return word
    return None


def webui_rows(pieces: Sequence[Tokens], words: Words, comma_backtrack: int) -> list[Row]:
    """Rows as the WebUI makes them: each chunk with a start and an end of its own, padded with ends.

    Where a chunk is full and a comma lies at most `comma_backtrack` tokens back, what follows the comma moves
    into the next one.
    """
    writer = _WebuiWriter(comma_backtrack)
    for piece in pieces:
        if piece.is_break:
            writer.end_chunk()
            continue
        position = 0
        while position < len(piece.ids):
            writer.make_room(piece.ids[position])
            word = word_at(piece.ids, position, words)
            if word is None:
                writer.add([piece.ids[position]], piece.weight)
            else:
                writer.add_word(word, piece.weight)
            position += len(word.ids) if word else 1
    return writer.finished()


@dataclass
class _WebuiWriter:
    comma_backtrack: int
    rows: list[Row] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    comma: int = -1

    def make_room(self, token: int) -> None:
        """Ends the chunk where it is full; looks back for a comma unless the token is one itself."""
        is_full = len(self.ids) == CHUNK_LENGTH
        if token == COMMA_ID:
            self.comma = len(self.ids)
        elif is_full and self.comma != -1 and len(self.ids) - self.comma <= self.comma_backtrack:
            cut = self.comma + 1
            ids, weights = self.ids[cut:], self.weights[cut:]
            # Vectors stay with the first chunk even where their places move: so does the WebUI.
            self.ids, self.weights = self.ids[:cut], self.weights[:cut]
            self.end_chunk()
            self.ids, self.weights = ids, weights
        if len(self.ids) == CHUNK_LENGTH:
            self.end_chunk()

    def add(self, ids: Sequence[int], weight: float) -> None:
        self.ids += ids
        self.weights += [weight] * len(ids)

    def add_word(self, word: Word, weight: float) -> None:
        count = min(word.num_vectors, CHUNK_LENGTH)
        if len(self.ids) + count > CHUNK_LENGTH:
            self.end_chunk()
        # Counted with the start token.
        self.vectors.append(Vectors(word.name, len(self.ids) + 1, 0, count))
        self.add([VECTOR_ID] * count, weight)

    def end_chunk(self) -> None:
        num_ends = CHUNK_LENGTH + 1 - len(self.ids)
        ids = (START_ID, *self.ids, *[END_ID] * num_ends)
        self.rows.append(Row(ids, (1.0, *self.weights, *[1.0] * num_ends), tuple(self.vectors)))
        self.ids, self.weights, self.vectors, self.comma = [], [], [], -1

    def finished(self) -> list[Row]:
        if self.ids or not self.rows:
            self.end_chunk()
        return self.rows


def kohya_rows(pieces: Sequence[Tokens], words: Words, max_tokens: int, pad_id: int) -> list[Row]:
    """Rows as kohya's scripts make them: cut off at `max_tokens` (a multiple of 75), padded to that length.

    One end token closes the whole text; the chunks are cut wherever they come.
    """
    ids, weights, places = _with_vectors(pieces, words)
    ids, weights = ids[:max_tokens], weights[:max_tokens]
    num_pads = max_tokens - len(ids)
    full = [START_ID, *ids, END_ID, *[pad_id] * num_pads]
    all_weights = [1.0, *weights, *[1.0] * (num_pads + 1)]
    rows = []
    for start in range(1, max_tokens, CHUNK_LENGTH):
        chunk = [START_ID, *full[start : start + CHUNK_LENGTH], full[-1]]
        if pad_id != END_ID:
            _close(chunk, pad_id)
        row_weights = (1.0, *all_weights[start : start + CHUNK_LENGTH], 1.0)
        rows.append(Row(tuple(chunk), row_weights, _vectors_in(places, start, max_tokens)))
    return rows


def _with_vectors(
    pieces: Sequence[Tokens], words: Words
) -> tuple[list[int], list[float], list[tuple[int, Word]]]:
    ids: list[int] = []
    weights: list[float] = []
    places: list[tuple[int, Word]] = []
    for piece in pieces:
        position = 0
        while position < len(piece.ids):
            word = word_at(piece.ids, position, words)
            new = [piece.ids[position]] if word is None else [VECTOR_ID] * word.num_vectors
            if word is not None:
                places.append((len(ids), word))
            ids += new
            weights += [piece.weight] * len(new)
            position += len(word.ids) if word else 1
    return ids, weights, places


def _close(chunk: list[int], pad_id: int) -> None:
    """Puts an end token where a chunk would have none."""
    if chunk[-2] not in (END_ID, pad_id):
        chunk[-1] = END_ID
    if chunk[1] == pad_id:
        chunk[1] = END_ID


def _vectors_in(places: Sequence[tuple[int, Word]], start: int, max_tokens: int) -> tuple[Vectors, ...]:
    """The vectors that stand in the chunk whose first token is the text's number `start` - 1."""
    found = []
    low, high = start - 1, min(start - 1 + CHUNK_LENGTH, max_tokens)
    for at, word in places:
        begin, end = max(at, low), min(at + word.num_vectors, high)
        if begin < end:
            found.append(Vectors(word.name, begin - low + 1, begin - at, end - begin))
    return tuple(found)
