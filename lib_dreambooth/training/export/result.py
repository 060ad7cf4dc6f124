"""A file that was written, and the files that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ADAPTER, CHECKPOINT, DIFFUSERS, EMBEDDING = "adapter", "checkpoint", "diffusers", "embedding"
# What is written beside a file under the same stem.
CARD, PREVIEW, MODEL_YAML = ".json", ".preview.png", ".yaml"
SIDE_ENDINGS = (CARD, PREVIEW, MODEL_YAML)


@dataclass(frozen=True)
class Result:
    """One result of a run. `path` is a folder for diffusers, whose `sha256` is then empty.

    `label` tells files of one step apart: "ema", or an embedding's word. Final ones are never pruned.
    """

    path: Path
    kind: str
    step: int
    epoch: int
    size: int
    sha256: str
    label: str = ""
    is_final: bool = False


def stem_of(path: Path) -> str:
    """The name without its ending; a folder has none."""
    return path.name if path.is_dir() else path.stem


def beside(path: Path, ending: str) -> Path:
    """A file of the same stem; the stem may hold dots."""
    return path.with_name(stem_of(path) + ending)


def side_files(path: Path) -> list[Path]:
    """The side files that are there."""
    return [found for ending in SIDE_ENDINGS if (found := beside(path, ending)).is_file()]
