"""Short runs of a tiny model, for tests of the whole loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from lib_dreambooth import settings
from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.jobs.places import Library
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.runs.commands import Command, CommandBox
from lib_dreambooth.runs.events import Event, Phase, Warned
from lib_dreambooth.runs.folder import ModelFolder
from lib_dreambooth.runs.kept_states import newest_whole, read_state
from lib_dreambooth.runs.states import TENSORS
from lib_dreambooth.settings.files import review_text
from lib_dreambooth.training.state import TrainingState
from lib_dreambooth.training.trainer.desk import Ended
from tests.models.tiny import least_sd1

NUM_STEPS = 20
# Small and quiet: 64 px, nothing drawn, nothing saved before the end.
QUIET: dict[str, Any] = {
    "pictures": {"resolution": 64},
    "length": {"train_for": f"{NUM_STEPS} steps", "batch_size": 2},
    "draws": {"seed": 1},
    "saving": {"every": "never", "state_every": "never", "precision": "fp32"},
    "previews": {"every": "never", "at_start": False, "at_end": False, "steps": 2, "size": "64"},
    "validation": {"every": "never"},
    "logging": {"every": 1, "report": False},
}
LORA: dict[str, Any] = {
    "network": {"rank": 4, "alpha": 4.0, "dropout": 0.1, "rank_dropout": 0.1, "module_dropout": 0.1},
    "rates": {"learning_rate": 2e-3},
    "parts": {"text_encoder_1": {"rate": 1e-3}},
    "captions": {"shuffle": True},
}
WHOLE: dict[str, Any] = {
    "network": {"kind": "none"},
    "ema": {"use": True},
    "rates": {"learning_rate": 1e-4},
    "parts": {"text_encoder_1": {"rate": 1e-4}},
}
# Everything that could disturb the steps, every few of them.
BUSY: dict[str, Any] = {
    "saving": {"every": "4 steps", "state_every": "3 steps"},
    "previews": {"every": "5 steps", "at_start": True, "at_end": True},
    "validation": {"every": "6 steps"},
}


def joined(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over settings, section by section."""
    found: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
            found[key] = joined(found[key], value) if both else value
    return found


@dataclass
class MadeRun:
    """A model on a base with the settings of a run, and what was told of it."""

    root: Path
    values: Mapping[str, Any]
    events: list[Event] = field(default_factory=list)
    box: CommandBox | None = None
    num_pictures: int = 8  # one of them held out
    base: Path | None = None  # without one, the least that can be trained

    def __post_init__(self) -> None:
        self.base = self.base or least_sd1(self.root)
        self.library = Library(self.root / "models")
        if not self.pictures.is_dir():
            written = subject.write_subject(self.pictures)
            self.held_out.mkdir()
            for number, path in enumerate(written):
                for one in (path, path.with_suffix(".txt")):
                    if number == self.num_pictures - 1:
                        one.rename(self.held_out / one.name)
                    elif number >= self.num_pictures:
                        one.unlink()
        path = self.library.dreambooth / "zwx"
        if path.is_dir():
            self.folder = ModelFolder.open(path)
        else:
            self.folder = ModelFolder.create(self.library.dreambooth, "zwx", self.base, "sd1")

    @property
    def pictures(self) -> Path:
        return self.root / "pictures"

    @property
    def held_out(self) -> Path:
        """What is only measured."""
        return self.root / "held out"

    @property
    def sourced(self) -> settings.Sourced:
        concepts = [
            {"folder": str(self.pictures), "class_prompt": "a ring"},
            {"folder": str(self.held_out), "role": "validation"},
        ]
        return settings.read(joined(QUIET, {"concepts": concepts}, self.values))

    def first(self) -> TrainingJob:
        return self._steered(TrainingJob(self.folder, self.sourced, self.library.results()))

    def next(self, changes: Mapping[str, Any] | None = None) -> TrainingJob:
        """The job that goes on from the newest whole state with the settings in it, or changed ones."""
        state = self.newest()
        sourced = review_text(state.settings, "state.json").sourced
        if changes:
            sourced = settings.update(sourced, changes, "test")
        return self._steered(TrainingJob(self.folder, sourced, self.library.results(), state=state))

    def _steered(self, job: TrainingJob) -> TrainingJob:
        self.box = job.box = CommandBox()
        job.listeners = (self.events.append,)
        return job

    def run(self, *orders: Order) -> Ended:
        """From the beginning; the orders are given when their time comes."""
        return self.carried(self.first(), orders)

    def go_on(self, *orders: Order, changes: Mapping[str, Any] | None = None) -> Ended:
        """From the newest state."""
        return self.carried(self.next(changes), orders)

    def carried(self, job: TrainingJob, orders: Sequence[Order] = ()) -> Ended:
        waiting = list(orders)

        def give(event: Event) -> None:
            for order in [order for order in waiting if order.when(event)]:
                waiting.remove(order)
                for command in order.commands:
                    assert job.box is not None
                    job.box.send(command)

        job.listeners = (*job.listeners, give)
        return job.run()

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def warnings(self) -> list[str]:
        return [event.code for event in self.told(Warned)]

    def phases(self) -> list[str]:
        return list(dict.fromkeys(event.name for event in self.told(Phase)))

    @property
    def states(self) -> list[str]:
        return sorted(path.name for path in self.folder.states_dir.glob("*"))

    def newest(self) -> TrainingState:
        """The newest whole state."""
        found = newest_whole(self.folder.states_dir).state
        assert found is not None
        return TrainingState.from_saved(*read_state(found))

    def state(self) -> dict[str, Tensor]:
        """The tensors of the newest state."""
        found = newest_whole(self.folder.states_dir).state
        assert found is not None
        return tensors_of(found.path / TENSORS)

    def numbers(self) -> dict[str, Any]:
        """What the newest state holds besides tensors, without the curves' own."""
        found = self.newest()
        return {"step": found.step, "settings": found.settings, **found.numbers}

    def files(self) -> list[Path]:
        """The files for use, the last one last."""
        roots = [self.library.models / "Lora", self.library.models / "Stable-diffusion"]
        return sorted(path for root in roots for path in root.rglob("*.safetensors"))


@dataclass
class Order:
    """Commands for the moment when an event comes for which `when` is true."""

    when: Callable[[Event], bool]
    commands: tuple[Command, ...]


def at_step(number: int, *commands: Command) -> Order:
    return Order(lambda event: getattr(event, "step", None) == number and is_a_step(event), commands)


def in_phase(name: str, *commands: Command, done: int = 0) -> Order:
    return Order(lambda e: isinstance(e, Phase) and e.name == name and e.done >= done, commands)


def is_a_step(event: Event) -> bool:
    return type(event).__name__ == "Step"


def tensors_of(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """The same names, types and bytes."""
    assert list(one) == list(other)
    different = [name for name in one if not same_bytes(one[name], other[name])]
    assert not different, f"{len(different)} of {len(one)}: {different[:5]}"


def same_bytes(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(as_bytes(one), as_bytes(other))


def as_bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else tensor
