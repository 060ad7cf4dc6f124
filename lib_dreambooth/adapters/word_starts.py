"""Where the words of a run start: from tags, from the class, or from an embedding file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.word_rows import Tokenize, average_length, concepts_of, first_rows
from lib_dreambooth.adapters.words import Words
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.embedding import Embedding, read_embedding
from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.settings.schema import Concept, Run, Word

log = logging.getLogger(__name__)


def attach_words(
    run: Run, roots: Mapping[str, nn.Module], tokenize: Tokenize, dtype: torch.dtype = torch.float32
) -> Words:
    """The words of the settings for every text encoder; raises FileError for an embedding that does not fit.

    They are never kept in less than float32: they are few, and move by little.
    """
    tables = {part: table_of(roots[part]) for part in (TEXT, TEXT_2) if part in roots}
    lengths = {part: average_length(table) for part, table in tables.items()}
    kept = torch.promote_types(dtype, torch.float32)
    rows = {
        word.name: {
            part: tensor.to(tables[part].device, kept)
            for part, tensor in rows_of(word, run, tables, tokenize).items()
        }
        for word in run.words
    }
    return Words(rows, lengths, run.parts.words.max_norm)


def table_of(root: nn.Module) -> Tensor:
    """A text encoder's own rows."""
    return root.get_parameter("text_model.embeddings.token_embedding.weight")


def rows_of(word: Word, run: Run, tables: Mapping[str, Tensor], tokenize: Tokenize) -> dict[str, Tensor]:
    """The first rows of a word for each encoder: a file's, then those of its text."""
    file = None if not word.start_from else fitting(read_embedding(word.start_from), word, tables)
    concepts = starting_concepts(word, run.concepts)
    found = {}
    for part, table in tables.items():
        given = torch.zeros(0, table.shape[1]) if file is None else file.vectors[part].float()
        draw = Draw(run.draws.seed, "word", word.name, part)
        left = word.vectors - len(given)
        rest = first_rows(concepts, left, table, tokenize, draw)
        found[part] = torch.cat([given.to(table.device), rest])
    return found


def starting_concepts(word: Word, concepts: Sequence[Concept]) -> list[str]:
    """What a word means at first, tag by tag; without a text the class of the concept that it names."""
    if word.start_as.strip():
        return concepts_of(word.start_as)
    trained = [one for one in concepts if one.role == "train" and one.class_token.strip()]
    named = [one for one in trained if word.name.lower() in one.token.lower().split()]
    return concepts_of((named or trained)[0].class_token) if trained else []


def left_out(word: Word, concepts: Sequence[Concept]) -> list[str]:
    """The tags that a word has no vectors for."""
    return [] if word.start_from else starting_concepts(word, concepts)[word.vectors :]


def fitting(file: Embedding, word: Word, tables: Mapping[str, Tensor]) -> Embedding:
    """The embedding, if it is for these encoders and no longer than the word."""
    path = Path(word.start_from)
    theirs = {part: int(vectors.shape[1]) for part, vectors in file.vectors.items()}
    ours = {part: int(table.shape[1]) for part, table in tables.items()}
    if theirs != ours:
        raise FileError(
            f"is for another family: its vectors have {_text(theirs)} numbers, the model's {_text(ours)}.",
            where=str(path),
            todo="Choose an embedding for this model's family, or leave it out.",
            code="wrong-family",
        )
    if file.num_vectors > word.vectors:
        raise FileError(
            f"has {file.num_vectors} vectors, and {word.name} is set to {word.vectors}.",
            where=str(path),
            todo=f"Set Vectors per Word to {file.num_vectors} or more.",
            code="wrong-number",
        )
    return file


def _text(widths: Mapping[str, int]) -> str:
    return " and ".join(str(width) for width in widths.values())
