"""Looks for what a recipe names: beside it, and in folders of models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.settings.recipes.here import Candidate, Here
from lib_dreambooth.settings.recipes.texts import LARGEST

MODEL_ENDINGS = frozenset((".safetensors", ".ckpt", ".pt"))
# Folders that WebUIs keep each kind in; everything else is taken for checkpoints.
KIND_OF_FOLDER = {
    "vae": "vaes",
    "lora": "loras",
    "lycoris": "loras",
    "loras": "loras",
    "embeddings": "embeddings",
}
MOST_FILES = 5000
# The hash that WebUIs wrote before 2023, which recipes and files still carry.
OLD_HASH_FROM, OLD_HASH_BYTES, OLD_HASH_LETTERS = 0x100000, 0x10000, 8


def look_around(recipe: Path, folders: Sequence[Path] = ()) -> Here:
    """What is here: paths as they are or beside the recipe, and the models in some folders."""
    found: dict[str, list[Candidate]] = {"checkpoints": [], "vaes": [], "loras": [], "embeddings": []}
    for folder in folders:
        for path in models_in(folder):
            found[kind_of(path.relative_to(folder))].append(Candidate(str(path), old_hash(path)))
    kinds = {kind: tuple(candidates) for kind, candidates in found.items()}
    return Here(**kinds, locate=locator(recipe.parent))  # type: ignore[arg-type]


def locator(folder: Path) -> Callable[[str], str]:
    """Finds a path as it is, or beside the recipe."""

    def locate(path: str) -> str:
        for place in (Path(path), folder / path):
            try:
                if place.exists():
                    return str(place)
            except (OSError, ValueError):
                continue
        return ""

    return locate


def models_in(folder: Path) -> Iterator[Path]:
    """Model files in a folder and below it; FileError where it cannot be read."""
    if not folder.is_dir():
        raise FileError("there is no such folder.", where=str(folder), todo="Name a folder with models.")
    for count, path in enumerate(path for path in sorted(folder.rglob("*")) if is_model(path)):
        if count >= MOST_FILES:
            return
        yield path


def is_model(path: Path) -> bool:
    """Whether a file may be a model."""
    return path.suffix.lower() in MODEL_ENDINGS and path.is_file()


def kind_of(path: Path) -> str:
    """The kind of a model, by the folders it lies in."""
    for part in path.parts[:-1]:
        kind = KIND_OF_FOLDER.get(part.lower())
        if kind:
            return kind
    return "vaes" if ".vae." in path.name.lower() else "checkpoints"


def old_hash(path: Path) -> tuple[str, ...]:
    """The old hash of a file: it reads 64 KiB, so that folders of hundreds of gigabytes take no time."""
    try:
        with path.open("rb") as file:
            file.seek(OLD_HASH_FROM)
            data = file.read(OLD_HASH_BYTES)
    except OSError:
        return ()
    return (hashlib.sha256(data).hexdigest()[:OLD_HASH_LETTERS],)


def read_bytes(path: Path) -> bytes:
    """The bytes of a recipe, no more than a recipe can have and one; raises FileError."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(f"could not be read ({reason}).", where=str(path), todo="Check the path.") from error


def reader_beside(recipe: Path) -> Callable[[str], bytes | None]:
    """Reads another file that the recipe names: as it is named, or under its name beside the recipe."""

    def read(path: str) -> bytes | None:
        name = path.replace("\\", "/").rsplit("/", 1)[-1]
        for place in (Path(path), recipe.parent / path, recipe.parent / name):
            try:
                if place.is_file():
                    return read_bytes(place)
            except (OSError, ValueError):
                continue
        return None

    return read
