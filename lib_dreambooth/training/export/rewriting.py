"""The same tensors under other metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.training.export.adapter_file import write_adapter_file


def rewrite_adapter(source: Path, target: Path, changes: Mapping[str, str]) -> None:
    """Writes `source` as `target` with some metadata changed; tensors stay bit for bit, hashes follow."""
    with open_tensors(source) as file:
        tensors = file.read_all()
        metadata = dict(file.metadata)
    # The file is closed by now: `target` may be the same.
    write_adapter_file(target, tensors, None, {**metadata, **changes})
