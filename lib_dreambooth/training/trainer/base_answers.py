"""What the untouched model answers, where a run learns from that: asked in the step, or before the first one.

A network is switched off for the question. Whole weights have no untouched model any more once they moved, so
that their answers are stored before; on going on what is missing is asked of the base as it was read.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from lib_dreambooth.adapters.parts import Trainable, silenced
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.cache.keys import digest
from lib_dreambooth.data.cache.stores import Store, Waiting
from lib_dreambooth.data.dataset import Dataset
from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.data.item import Item
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.encode import TextStates
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.training.micro_step import autocast, predict
from lib_dreambooth.training.objective.noised import Noised
from lib_dreambooth.training.trainer.texts import Texts

ANSWER = "answer"
CELL_PIXELS, BYTES_OF_FLOAT = 64, 4


class Answers(Protocol):
    """The untouched model's answers [len(rows), C, H, W] for some rows of a batch."""

    def __call__(self, batch: Batch, noised: Noised, rows: list[int]) -> Tensor: ...


@dataclass(eq=False)
class Asked:
    """Asks the model itself, with what is trained switched off."""

    model: LoadedModel
    trained: Trainable
    texts: Texts
    autocast_dtype: torch.dtype | None

    @torch.no_grad()
    def __call__(self, batch: Batch, noised: Noised, rows: list[int]) -> Tensor:
        device = self.model.device_of(UNET)
        asked = Noised(
            noised.noisy[rows], noised.target[rows], noised.timesteps[rows], noised.weights[rows]
        ).to(device)
        with silenced(self.trained), autocast(device, self.autocast_dtype):
            # All captions, so that rows are as long as in the step itself.
            states = chosen(self.texts(batch.captions), rows)
            is_cast = self.autocast_dtype is not None
            return predict(self.model, asked, states, batch.size_ids[rows], is_cast=is_cast)


@dataclass(eq=False)
class Stored:
    """Keeps the answers of `source` by all that they depend on; `base` names the model and its numbers."""

    source: Asked
    store: Store
    base: str
    _waiting: Waiting = field(init=False)
    _names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._waiting = Waiting(self.store)

    def __call__(self, batch: Batch, noised: Noised, rows: list[int]) -> Tensor:
        found = self.store.read(self.name(batch, noised, rows))
        if found is None:
            raise UserError(
                "a stored answer of the base model is gone or damaged.",
                todo="Continue the run: what is missing is asked again.",
                code="cache-damaged",
            )
        return found[ANSWER]

    def keep(self, batch: Batch, noised: Noised, rows: list[int]) -> bool:
        """Asks, unless it is known; gives whether it had to."""
        name = self.name(batch, noised, rows)
        self._names.add(name)
        if name in self._waiting or self.store.read(name) is not None:
            return False
        self._waiting.add({name: {ANSWER: self.source(batch, noised, rows).cpu()}})
        return True

    def flush(self) -> None:
        """Writes what is waiting."""
        self._waiting.flush()

    def name(self, batch: Batch, noised: Noised, rows: list[int]) -> str:
        """Rows of one batch are one entry, since last digits depend on what is asked together."""
        noisy = noised.noisy[rows].contiguous()
        return digest(
            "base answer",
            self.base,
            rows,
            list(batch.captions),
            batch.size_ids[rows].tolist(),
            noised.timesteps[rows].tolist(),
            str(noisy.dtype),
            hashlib.blake2b(noisy.view(torch.uint8).numpy().tobytes(), digest_size=16).hexdigest(),
        )

    def names(self) -> list[str]:
        """The store's names of everything that this run needs."""
        return sorted(self._names)


def stored_bytes(dataset: Dataset, asking: Sequence[Item], total_steps: int, channels: int) -> int:
    """What the answers for all visits of these items take."""
    if not asking:
        return 0
    width, height = dataset.bucket(asking[0])
    visits = sum(item.repeats for item in asking) * total_steps / dataset.plan.steps_per_epoch
    return int(visits * width * height / CELL_PIXELS * channels * BYTES_OF_FLOAT)


def require_room(folder: Path, num_bytes: int) -> None:
    """Raises FileError where the disk has no room for the answers of a run."""
    place = next((one for one in (folder, *folder.absolute().parents) if one.is_dir()), None)
    free = shutil.disk_usage(place).free if place is not None else num_bytes
    if free < num_bytes:
        raise FileError(
            f"the disk has {free / 1e9:.1f} GB free, and the base model's answers for the run take "
            f"{num_bytes / 1e9:.1f} GB.",
            where=str(folder),
            todo="Free some space, shorten the run, or train a network, which needs no stored answers.",
            code="disk-full",
        )


def chosen(states: TextStates, rows: list[int]) -> TextStates:
    """The states of some captions."""
    pooled = None if states.pooled is None else states.pooled[rows]
    return TextStates(tuple(one[rows] for one in states.states), pooled)
