"""About how much of the disk the files of a run take, from the base's header alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.adapters.planning import Ground, plan_network, trained_parts
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
# Numbers that an optimizer keeps for each weight: two, where nothing else is said here.
MOMENTS, FEWER_MOMENTS = 2.0, {"lion": 1.0, "sgd": 1.0, "adafactor": 0.1}
# Optimizers in 8 bits keep a quarter of the bytes.
EIGHT_BIT, EIGHT_BIT_SHARE = "8bit", 0.25
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
        free = "" if self.free is None else f", {shown(self.free)} free"
        return f"about {shown(self.total)}{free}"


def disk_need(run: Run, kind: FileKind, counts: Mapping[str, int], place: Path) -> DiskNeed:
    """What `counts` files of each kind (see `settings.outline`) need; embeddings are too small to count."""
    trained = num_trained(run, kind)
    whole = sum(num_of_part(kind, part) for part in NEEDED[kind.family])
    width = BYTES[run.saving.precision]
    of_one = {
        "LoRA": trained * width + SPARE_BYTES,
        "checkpoint": whole * width + SPARE_BYTES,
        "diffusers": whole * width + SPARE_BYTES,
        "state": state_bytes(run, trained) + SPARE_BYTES,
    }
    total = sum(count * of_one.get(name, SPARE_BYTES) for name, count in counts.items())
    # The next state is written before the last one goes.
    return DiskNeed(of_one, total + of_one["state"], free_bytes(place))


def num_trained(run: Run, kind: FileKind) -> int:
    """How many numbers are trained; norms beside a network, and words, are too few to count."""
    parts = trained_parts(run, [part for part in NEEDED[kind.family] if part in kind.parts])
    if not parts:
        return 0
    if not is_adapter(run):
        return sum(num_of_part(kind, part) for part in parts)
    ground = Ground(run, names_of(kind), kind.family, parts)
    shapes = [
        shape
        for planned in plan_network(ground)
        for name, shape in lora_shapes(ground.shape(planned.target), planned.rank).items()
        if name != "alpha"
    ]
    return sum(math.prod(shape) for shape in shapes)


def num_of_part(kind: FileKind, part: str) -> int:
    """How many numbers a part of the base has."""
    found = kind.parts.get(part)
    if found is None or found.layout is None:
        return 0
    return sum(math.prod(link.file_shape) for link in links_at(found.place, found.layout))


def state_bytes(run: Run, trained: int) -> int:
    """A state holds what is trained, what the optimizer remembers, and the average."""
    name = run.optimizer.name.lower()
    moments = next((count for word, count in FEWER_MOMENTS.items() if word in name), MOMENTS)
    if EIGHT_BIT in name:
        moments *= EIGHT_BIT_SHARE
    weights = HALF_BYTES if run.precision.weights == "half" else FLOAT_BYTES
    average = FLOAT_BYTES if run.ema.use else 0
    return int(trained * (weights + moments * weights + average))


def shown(num_bytes: int) -> str:
    """A size for people."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"
