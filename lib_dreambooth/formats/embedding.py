"""Embeddings: the vectors of words, in every form that hosts read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.files import replacing
from lib_dreambooth.formats.checkpoint_write import cast
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.detect import detect_file
from lib_dreambooth.formats.finite import is_finite
from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.safetensors_write import write_safetensors

# CLIP-L and OpenCLIP-bigG beside each other, as the WebUI shows an SDXL embedding.
SDXL_WIDTHS = (768, 1280)
ANY_TOKEN = "*"
# The token whose place the WebUI gives to the vectors; any would do.
ANY_TOKEN_ID = 265


@dataclass(frozen=True)
class Embedding:
    """Vectors [n, width] by text encoder; the name is what a prompt says."""

    name: str
    vectors: Mapping[str, Tensor]
    step: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_vectors(self) -> int:
        return next(iter(self.vectors.values())).shape[0]

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(vectors.shape[1] for vectors in self.vectors.values())


def read_embedding(path: Path | str) -> Embedding:
    """Reads an embedding of any of the known forms; hosts name it after the file, whatever it says inside."""
    path = Path(path)
    with open_tensors(path) as file:
        kind = detect_file(file)
        if kind.role != "embedding":
            raise _wrong_kind(path, kind)
        tensors = file.read_all()
        step = file.values.get("step")
        metadata = file.metadata
    vectors = vectors_of(tensors)
    lengths = {tensor.shape[0] for tensor in vectors.values()}
    if len(lengths) != 1:
        raise FileError(
            f"has {' and '.join(map(str, sorted(lengths)))} vectors for its two text encoders.",
            where=str(path),
            todo="Both need the same number; choose another embedding.",
            code="damaged-file",
        )
    if not all(is_finite(tensor) for tensor in vectors.values()):
        raise FileError(
            "holds values that are no numbers (NaN or infinity).",
            where=str(path),
            todo="Choose another embedding, or an earlier save of it.",
            code="not-finite",
        )
    return Embedding(path.stem, vectors, step if isinstance(step, int) else None, metadata)


def vectors_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Vectors by text encoder from the tensors of a file, or of a word bundled in a LoRA."""
    if "clip_l" in tensors or "clip_g" in tensors:
        named = {TEXT: tensors.get("clip_l"), TEXT_2: tensors.get("clip_g")}
        return {part: _rows(tensor) for part, tensor in named.items() if tensor is not None}
    named_keys = [key for key in tensors if key == "emb_params" or key.startswith("string_to_param")]
    rows = _rows(tensors[(named_keys or list(tensors))[0]])
    if rows.shape[1] == sum(SDXL_WIDTHS):
        first, second = rows.split(SDXL_WIDTHS, dim=1)
        return {TEXT: first, TEXT_2: second}
    return {TEXT: rows}


def write_embedding(
    path: Path | str,
    embedding: Embedding,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
    ending: str = "",
) -> None:
    """Writes .safetensors, or the WebUI's own form where the name, or `ending`, is one in .pt or .bin."""
    path = Path(path)
    vectors = {part: cast(part, tensor, dtype).load() for part, tensor in embedding.vectors.items()}
    if (ending or path.suffix) == ".safetensors":
        write_safetensors(path, _named(vectors), {**embedding.metadata, **(metadata or {})})
        return
    with replacing(path) as temporary:
        torch.save(_webui_form(embedding, vectors), temporary)


def _named(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if TEXT_2 not in vectors:
        return {"emb_params": vectors[TEXT].contiguous()}
    keys = {TEXT: "clip_l", TEXT_2: "clip_g"}
    return {keys[part]: tensor.contiguous() for part, tensor in vectors.items()}


def _webui_form(embedding: Embedding, vectors: Mapping[str, Tensor]) -> dict[str, Any]:
    if TEXT_2 in vectors:
        return _named(vectors)
    return {
        "string_to_token": {ANY_TOKEN: ANY_TOKEN_ID},
        "string_to_param": {ANY_TOKEN: vectors[TEXT].contiguous()},
        "name": embedding.name,
        "step": embedding.step,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }


def _rows(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(0) if tensor.ndim == 1 else tensor


def _wrong_kind(path: Path, kind: FileKind) -> FileError:
    return FileError(
        f"is {kind.title()}, and an embedding is needed here.",
        where=str(path),
        todo="Choose a file from the embeddings folder.",
        code="wrong-kind",
    )
