"""Every setting about what happens between steps changes what a run tells, writes or asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.jobs.completing import complete, on_base
from lib_dreambooth.runs.commands import CommandBox, StopAfterStep
from lib_dreambooth.runs.events import Event, Sampled, Saved, Step, Validated
from lib_dreambooth.settings.length import plan_length
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.averages import averages_of
from lib_dreambooth.training.previews.drawing import Drawn
from lib_dreambooth.training.state import Surroundings
from lib_dreambooth.training.trainer import work as work_module
from lib_dreambooth.training.trainer.awaited import Stepped
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.desk import Desk
from lib_dreambooth.training.trainer.epochs import encode_epoch
from lib_dreambooth.training.trainer.preparing import Preparer, Rooms
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.stepping import Stepper
from lib_dreambooth.training.trainer.work import Work
from tests.data.drawn_files import save_gradient, save_plain
from tests.training.made_exports import exporter
from tests.training.made_runs import MadeRun, joined

pytestmark = pytest.mark.usefixtures("quick")

CPU = torch.device("cpu")
NUM_STEPS = 8
BASE: dict[str, Any] = {
    "network": {"rank": 1},
    "parts": {"text_encoder_1": {"train": False}},
    "length": {"train_for": f"{NUM_STEPS} steps", "batch_size": 1},
    "class_pictures": {"relation": "beside"},
    "validation": {"timesteps": [500]},
}
STATES = {"saving.state_every": "2 steps"}
EMA = {"ema.use": True, "previews.at_end": True}
MEASURED = {"validation.every": "1 epochs"}
PAUSED = {"length.pause_every": "4 steps"}
# What has to be set beside it, and its own value.
EFFECTS: dict[str, tuple[dict[str, Any], Any]] = {
    "ema.save": (EMA, "both"),
    "ema.preview": (EMA, "live"),
    "length.pause_every": ({}, "3 steps"),
    "length.pause_for": (PAUSED, 7.0),
    "logging.every": ({}, 3),
    "logging.smoothing": ({}, 2),
    "memory.workers": ({}, 0),
    "saving.every": ({}, "3 steps"),
    "saving.during": ({"saving.every": "3 steps"}, ["state"]),
    "saving.at_end": ({}, ["result"]),
    "saving.on_cancel": ({"cancelled": True}, []),
    "saving.state_every": ({}, "2 steps"),
    "saving.keep_states": (STATES, 2),
    "previews.every": ({}, "3 steps"),
    "previews.at_start": ({}, True),
    "previews.at_end": ({}, True),
    "previews.nearest": ({"previews.at_end": True}, True),
    "previews.strength": ({"previews.at_end": True}, 0.5),
    "validation.every": ({}, "4 steps"),
    "validation.timesteps": (MEASURED, [100]),
    "validation.most": (MEASURED, 1),
    "validation.class_prompts": (MEASURED, False),
}


class Still(Stepper):
    """Steps that move nothing but the average."""

    def take(self, step: int, batches: Any) -> Stepped:
        if self.ready.averages is not None:
            self.ready.parts[0].parameter.data.add_(1.0)
            self.ready.averages.update(step + 1)
        return Stepped(step, loss=1.0 / (step + 1), grad_norm=1.0)


@dataclass
class Artist:
    """Draws one thing always, and notes with which weights it would have."""

    ready: Ready
    notes: list[Any]
    folder: Path
    previews: tuple[None, ...] = (None,)
    stage: None = None

    def draw(self, label: str, should_stop: Callable[[], bool]) -> Iterator[Drawn]:
        trained = self.ready.trained
        assert isinstance(trained, Attached)
        self.notes.append((label, dict(trained.strengths), self.ready.parts[0].parameter.sum().item()))
        path = self.folder / f"{label}.png"
        save_gradient(path, 64, 64)
        yield Drawn(path, "zwx", 1, "a concept")


class Resting(Control):
    """Notes how long it would rest."""

    def rest(self, seconds: float) -> None:
        self._emit(Sampled(files=(f"rested {seconds}",), step=self.step))


@dataclass
class Prepared:
    made: MadeRun
    ready: Ready

    def run(self, changes: dict[str, Any]) -> Run:
        sourced = settings.update(self.made.sourced, changes, "test")
        return complete(on_base(sourced, self.made.base)).run

    def ready_for(self, run: Run) -> Ready:
        length = plan_length(self.ready.dataset.plan.epoch, run.length.train_for, run.length.whole_epochs)
        averages = averages_of(run.ema, self.ready.parts)
        return replace(self.ready, run=run, length=length, averages=averages)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    root = tmp_path_factory.mktemp("running")
    made = MadeRun(root, {}, num_pictures=4)
    save_plain(root / "classes" / "one.png", (9, 9, 9), (64, 64))
    save_plain(made.held_out / "more.png", (90, 9, 9), (64, 64))
    trained = {"folder": str(made.pictures), "class_folder": str(root / "classes")}
    measured = {"folder": str(made.held_out), "role": "validation"}
    made.values = joined(BASE, {"concepts": [trained, measured]})
    run = complete(on_base(settings.update(made.sourced, MEASURED, "test"), made.base)).run
    control = Control(CommandBox(), lambda event: None)
    preparer = Preparer(run, CPU, Rooms(root / "cache", root / "classes drawn"), control, lambda event: None)
    scanned = preparer.scan()
    ready = preparer.ready(preparer.materials(preparer.read(), scanned))
    encode_epoch(ready, 0, control, preparer.progress)
    return Prepared(made, ready)


def seen(prepared: Prepared, root: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a run of still steps tells, draws, leaves behind and asks of the feed."""
    changes = dict(changes)
    is_cancelled = changes.pop("cancelled", False)
    for part in prepared.ready.parts:
        part.parameter.data.zero_()
    ready = prepared.ready_for(prepared.run(changes))
    events: list[Event] = []
    notes: list[Any] = []
    box = CommandBox()

    def emit(event: Event) -> None:
        events.append(event)
        if is_cancelled and isinstance(event, Step) and event.step == 3:
            box.send(StopAfterStep())

    def feed(*given: Any, **named: Any) -> Any:
        notes.append((named["workers"], named["depth"]))
        return fed(*given, **named)

    fed = work_module.feed
    monkeypatch.setattr(work_module, "feed", feed)
    desk = Desk(
        show=lambda path: path.name,
        rooms=Rooms(root / "cache", root / "classes"),
        states=root / "states",
        samples=root / "samples",
        export=lambda ready: exporter(root / "files"),
        started=lambda ready, step: Event(),
    )
    work = Work(ready, desk, Resting(box, emit), emit, Surroundings("base"))
    work.stepper = Still(ready, lambda part: None)
    work.previewer.artist = Artist(ready, notes, root / "samples")  # type: ignore[assignment]
    work.begin()
    work.go_on()
    ended = work.end()
    monkeypatch.undo()
    told = [told_of(event) for event in events if isinstance(event, (Step, Saved, Sampled, Validated))]
    return ended, told, notes, sorted(path.name for path in (root / "states").glob("*"))


def told_of(event: Event) -> Any:
    if isinstance(event, Step):
        return "step", event.step, event.smoothed
    if isinstance(event, Saved):
        return "saved", event.what, event.step, event.reason, len(event.paths)
    if isinstance(event, Validated):
        return "measured", event.step, dict(event.curves)
    return event


@pytest.mark.slow
@pytest.mark.parametrize("path", EFFECTS)
def test_a_setting_changes_what_a_run_does(
    path: str, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, value = EFFECTS[path]
    before = seen(prepared, tmp_path / "before", beside, monkeypatch)
    after = seen(prepared, tmp_path / "after", {**beside, path: value}, monkeypatch)
    assert before != after


@pytest.mark.slow
def test_the_same_settings_do_the_same(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [seen(prepared, tmp_path / name, {**EMA, **MEASURED}, monkeypatch) for name in ("one", "two")]
    assert both[0] == both[1]
