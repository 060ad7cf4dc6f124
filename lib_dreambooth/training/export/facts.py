"""What the files say about a run beside its settings: base, pictures, and when it was."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.item import Item
from lib_dreambooth.formats.lora import LEGACY_LENGTH, LEGACY_START
from lib_dreambooth.models.loaded import LoadedModel, Source
from lib_dreambooth.training.export.privacy import name_only, without_paths

UNNAMED_FOLDER = "pictures"


@dataclass(frozen=True)
class Hashed:
    """A file by its name and its two hashes; the short one is that of the WebUI of 2022."""

    name: str = ""
    sha256: str = ""
    legacy: str = ""


@dataclass(frozen=True)
class BaseFacts:
    """The base model. `prediction` is what was trained: "epsilon", "v" or "sample"."""

    family: str
    prediction: str
    native_size: int
    file: Hashed
    vae: Hashed | None = None
    is_zero_terminal: bool = False


@dataclass(frozen=True)
class Directory:
    """The pictures of one folder; tags are counted once for each picture."""

    num_repeats: int
    num_pictures: int
    is_class: bool
    tags: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DataFacts:
    """The pictures; numbers of images count repeats. `buckets` are visits by (width, height)."""

    directories: Mapping[str, Directory] = field(default_factory=dict)
    buckets: Mapping[tuple[int, int], int] = field(default_factory=dict)
    mean_shape_error: float = 0.0
    num_train_images: int = 0
    num_class_images: int = 0
    num_validation_images: int = 0
    batches_per_epoch: int = 0
    processes: int = 1


@dataclass(frozen=True)
class Session:
    """One training: a random number that names it, and its start in seconds since 1970.

    `optimizer` is the class that was used, with its module; `mixed_precision` is "no", "fp16" or "bf16".
    `total_steps` is None for a run without an end.
    """

    id: int
    started_at: float
    total_steps: int | None = None
    num_epochs: int | None = None
    optimizer: str = ""
    gradient_checkpointing: bool | None = None
    mixed_precision: str = "no"


def base_facts(
    model: LoadedModel, prediction: str | None = None, is_zero_terminal: bool | None = None
) -> BaseFacts:
    """Reads the base file's bytes for its hashes, the first time that they are asked for."""
    source = model.source
    return BaseFacts(
        family=model.family.name,
        prediction=prediction or model.prediction,
        native_size=model.family.native_size,
        file=Hashed(source.path.name, source.sha256, legacy_hash(source.path)),
        vae=None if model.vae_source is None else hashed(model.vae_source, source),
        is_zero_terminal=source.kind.is_zero_terminal if is_zero_terminal is None else is_zero_terminal,
    )


def hashed(path: Path, like: Source) -> Hashed:
    """A file of its own beside the base."""
    return Hashed(path.name, Source(path, like.kind).sha256, legacy_hash(path))


def legacy_hash(path: Path) -> str:
    """Eight digits over 64 KiB in the middle of the file; empty for a folder."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(LEGACY_START)
        return hashlib.sha256(file.read(LEGACY_LENGTH)).hexdigest()[:8]


def data_facts(dataset: Dataset) -> DataFacts:
    """What a run's pictures are, by the folders they lie in."""
    report, epoch = dataset.bucket_report(), dataset.plan.epoch
    errors = [abs(row.bucket[0] / row.bucket[1] - row.size[0] / row.size[1]) for row in report.rows]
    training = [item for item in dataset.items if not item.is_class]
    return DataFacts(
        directories=directories(dataset.items, lambda item: caption_tags(dataset, item)),
        buckets=dict(sorted(dataset.plan.visits.items())),
        mean_shape_error=sum(errors) / len(errors) if errors else 0.0,
        num_train_images=sum(item.repeats for item in training),
        num_class_images=sum(item.repeats for item in dataset.items if item.is_class),
        num_validation_images=len(dataset.validation),
        batches_per_epoch=epoch.num_batches,
        processes=epoch.processes,
    )


def caption_tags(dataset: Dataset, item: Item) -> list[str]:
    """A picture's tags as they stand in its caption, else in what it is trained with instead."""
    captions = dataset.handling(item).captions
    lines = [line for line in item.caption.text.splitlines() if line.strip()]
    if captions.lines == "first":
        lines = lines[:1]
    if not lines:
        concept = dataset.handling(item).concept
        words = concept.class_token if item.is_class else f"{concept.token} {concept.class_token}"
        lines = [concept.fallback or words]
    parts = [part for line in lines for part in line.split(captions.separator.strip() or ",")]
    return [without_paths(tag).lower() for part in parts if (tag := part.strip())]


def directories(items: Iterable[Item], tags_of: Callable[[Item], list[str]]) -> dict[str, Directory]:
    """Pictures by the folder that holds them; folders of the same name get a number."""
    grouped: dict[tuple[str, bool], list[Item]] = {}
    for item in items:
        grouped.setdefault((str(Path(item.path).parent), item.is_class), []).append(item)
    found: dict[str, Directory] = {}
    for (folder, is_class), members in grouped.items():
        repeats = Counter(item.repeats for item in members).most_common(1)[0][0]
        tags = Counter(tag for item in members for tag in tags_of(item))
        name = numbered(name_only(folder) or UNNAMED_FOLDER, found)
        found[name] = Directory(repeats, len(members), is_class, dict(tags))
    return found


def numbered(name: str, taken: Mapping[str, object]) -> str:
    """The name, with (2) and so on behind it where it is taken."""
    number, tried = 1, name
    while tried in taken:
        number += 1
        tried = f"{name} ({number})"
    return tried
