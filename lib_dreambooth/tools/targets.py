"""Where a tool may write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_dreambooth.base.errors import FileError

ENDING = ".safetensors"


def require_new(target: Path, sources: Sequence[Path], *, replaces: bool = False) -> None:
    """Raises FileError for names that are no .safetensors file's, are a source, or are taken."""
    if target.suffix.lower() != ENDING:
        raise FileError(
            "is not the name of a .safetensors file.",
            where=str(target),
            todo=f"Name a target that ends in {ENDING}, which every host reads.",
        )
    if any(target.resolve() == source.resolve() for source in sources):
        raise FileError("source and target are the same.", where=str(target), todo="Name another target.")
    if target.exists() and not replaces:
        raise FileError(
            "is there already.", where=str(target), todo="Choose another name, or replace it.", code="exists"
        )
