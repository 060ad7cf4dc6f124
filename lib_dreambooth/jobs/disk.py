"""About how much of the disk the files of a run take, from the base's header alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.adapters.planning import Ground, plan_network, trained_parts
from lib_dreambooth.base.showing import shown_bytes
from lib_dreambooth.forecast.remembered import remembered_bytes
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import links_at
from lib_dreambooth.formats.kinds import NEEDED, FileKind
from lib_dreambooth.formats.lora import lora_shapes
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.placing import free_bytes

BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}
# Headers, cards beside the files, previews.
SPARE_BYTES = 1_000_000
FLOAT_BYTES, HALF_BYTES = 4, 2


@dataclass(frozen=True)
class DiskNeed:
    """Bytes of one file of each kind, of all that a whole run leaves, and free where the files go."""

    of_one: Mapping[str, int]
    total: int
    free: int | None

    @property
    def is_enough(self) -> bool:
        return self.free is None or self.total <= self.free

    def text(self) -> str:
        """For people."""
        free = "" if self.free is None else f", {shown_bytes(self.free)} free"
        return f"about {shown_bytes(self.total)}{free}"


def disk_need(run: Run, kind: FileKind, counts: Mapping[str, int], place: Path, answers: int = 0) -> DiskNeed:
    """What `counts` files of each kind (see `settings.outline`) need; embeddings are too small to count.

    `answers` are bytes of what the base is asked before whole weights are trained.
    """
    shapes = trained_shapes(run, kind)
    trained = sum(math.prod(shape) for shape in shapes)
    whole = sum(num_of_part(kind, part) for part in NEEDED[kind.family])
    width = BYTES[run.saving.precision]
    of_one = {
        "LoRA": trained * width + SPARE_BYTES,
        "checkpoint": whole * width + SPARE_BYTES,
        "diffusers": whole * width + SPARE_BYTES,
        "state": state_bytes(run, shapes) + SPARE_BYTES,
    }
    total = sum(count * of_one.get(name, SPARE_BYTES) for name, count in counts.items())
    # The next state is written before the last one goes.
    return DiskNeed(of_one, total + answers + of_one["state"], free_bytes(place))


def trained_shapes(run: Run, kind: FileKind) -> list[tuple[int, ...]]:
    """The shapes of what is trained; norms beside a network, and words, are too small to count."""
    parts = trained_parts(run, [part for part in NEEDED[kind.family] if part in kind.parts])
    if not parts:
        return []
    if not is_adapter(run):
        return [shape for part in parts for shape in shapes_of_part(kind, part)]
    ground = Ground(run, names_of(kind), kind.family, parts)
    return [
        shape
        for planned in plan_network(ground)
        for name, shape in lora_shapes(ground.shape(planned.target), planned.rank).items()
        if name != "alpha"
    ]


def shapes_of_part(kind: FileKind, part: str) -> list[tuple[int, ...]]:
    """The shapes of a part of the base."""
    found = kind.parts.get(part)
    if found is None or found.layout is None:
        return []
    return [tuple(link.file_shape) for link in links_at(found.place, found.layout)]


def num_of_part(kind: FileKind, part: str) -> int:
    """How many numbers a part of the base has."""
    return sum(math.prod(shape) for shape in shapes_of_part(kind, part))


def state_bytes(run: Run, shapes: Sequence[tuple[int, ...]]) -> int:
    """A state holds what is trained, what the optimizer remembers, and the average."""
    trained = sum(math.prod(shape) for shape in shapes)
    weights = HALF_BYTES if run.precision.weights == "half" else FLOAT_BYTES
    average = FLOAT_BYTES if run.ema.use else 0
    return trained * (weights + average) + remembered_bytes(run.optimizer.name, shapes)
