"""Embedding files as words of a model's prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.embedding import Embedding, read_embedding
from lib_dreambooth.models.encode import Embeddings
from lib_dreambooth.models.loaded import LoadedModel


def words_from(paths: Sequence[Path], model: LoadedModel) -> Embeddings:
    """Each file as a word of the file's name. Raises FileError for one that was made for another family."""
    return Embeddings({found.name: fitting(found, path, model).vectors for path, found in read_all(paths)})


def read_all(paths: Sequence[Path]) -> list[tuple[Path, Embedding]]:
    """Every file, before any is used."""
    return [(path, read_embedding(path)) for path in paths]


def fitting(embedding: Embedding, path: Path, model: LoadedModel) -> Embedding:
    """The embedding, if each of the model's text encoders has vectors of its width."""
    widths = {encoder.part: encoder.width for encoder in model.encoders}
    found = {part: int(vectors.shape[1]) for part, vectors in embedding.vectors.items()}
    if found != widths:
        theirs, ours = _text(found), _text(widths)
        raise FileError(
            f"is for another family: its vectors have {theirs} numbers, the model's words {ours}.",
            where=str(path),
            todo="Choose an embedding for this model's family, or leave it out.",
            code="wrong-family",
        )
    return embedding


def _text(widths: dict[str, int]) -> str:
    return " and ".join(str(width) for width in widths.values())
