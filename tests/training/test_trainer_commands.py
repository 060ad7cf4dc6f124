"""Whatever is asked of a run, in whatever it is doing just then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.runs.commands import (
    Command,
    GoOn,
    MakeFiles,
    Pause,
    SampleNow,
    SaveNow,
    StopAfterStep,
    StopAtEpochEnd,
    StopWithoutSaving,
)
from lib_dreambooth.runs.events import (
    CANCELLED,
    DISCARDED,
    DONE,
    Event,
    Finished,
    Paused,
    Resumed,
    Sampled,
    Saved,
    Step,
)
from tests.training.made_runs import LORA, MadeRun, Order, assert_same, at_step, in_phase, joined

pytestmark = pytest.mark.usefixtures("quick")

# Four steps, two epochs of two; something to save and to draw in the middle.
SHORT: dict[str, Any] = joined(
    LORA,
    {
        "parts": {"text_encoder_1": {"train": False}},
        "length": {"train_for": "4 steps", "batch_size": 2},
        "class_pictures": {"draw": True, "total": 2, "per_picture": 1, "steps": 2, "relation": "beside"},
        "saving": {"every": "2 steps"},
        "previews": {"every": "2 steps"},
        "validation": {"every": "2 steps"},
    },
)
BEFORE_STEPS = (
    "looking at the pictures",
    "reading the model",
    "drawing class pictures",
    "encoding pictures",
    "encoding captions",
)
PHASES = (*BEFORE_STEPS, "training", "saving", "drawing samples", "validating")


def some_slow(*quick: str) -> list[Any]:
    """All phases, those that are not named for the full run alone."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in PHASES]


def short(root: Path) -> MadeRun:
    return MadeRun(root, SHORT, num_pictures=4)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    run = short(tmp_path_factory.mktemp("straight"))
    assert run.run().outcome == DONE
    return run


@pytest.mark.slow
def test_every_phase_is_told(straight: MadeRun) -> None:
    assert set(straight.phases()) == set(PHASES)


@pytest.mark.slow
@pytest.mark.parametrize("phase", some_slow("encoding pictures", "saving"))
def test_cancel_without_saving_ends_in_every_phase_and_saves_nothing(tmp_path: Path, phase: str) -> None:
    run = short(tmp_path)
    ended = run.run(in_phase(phase, StopWithoutSaving()))
    assert ended.outcome == DISCARDED and ended.step <= 2
    assert run.events[-1] == run.told(Finished)[-1] and run.told(Finished)[-1].outcome == DISCARDED
    assert run.states == []
    # What had been saved before stays; nothing is added.
    assert len(run.files()) == (1 if phase in ("saving", "drawing samples", "validating") else 0)


@pytest.mark.parametrize("phase", some_slow("training"))
def test_cancel_saves_what_was_trained_and_going_on_ends_as_if_nothing_was(
    tmp_path: Path, phase: str, straight: MadeRun
) -> None:
    run = short(tmp_path)
    ended = run.run(in_phase(phase, StopAfterStep()))
    assert ended.outcome == CANCELLED
    if phase in BEFORE_STEPS or ended.step == 0:
        assert run.states == [] and run.files() == []
        assert run.run().outcome == DONE
    else:
        assert run.states == [f"step-{ended.step:08d}"] and run.files()
        assert run.go_on().outcome == DONE
    assert_same(run.state(), straight.state())


@pytest.mark.slow
def test_a_pause_in_every_phase_changes_nothing(tmp_path: Path, straight: MadeRun) -> None:
    run = short(tmp_path)
    pauses = [in_phase(phase, Pause()) for phase in PHASES]
    goes_on = [Order(PauseNumber(number), (GoOn(),)) for number in range(1, len(PHASES) + 1)]
    assert run.run(*pauses, *goes_on).outcome == DONE
    paused = run.told(Paused)
    assert len(paused) == len(run.told(Resumed)) >= len(PHASES) - 2
    assert_same(run.state(), straight.state())


class PauseNumber:
    """True when the pause of this number begins."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = 0

    def __call__(self, event: Event) -> bool:
        self.seen += isinstance(event, Paused)
        return isinstance(event, Paused) and self.seen >= self.number


@pytest.mark.slow
@pytest.mark.parametrize("command", [StopAfterStep(), StopWithoutSaving()])
def test_a_pause_ends_with_any_stop(tmp_path: Path, command: Command) -> None:
    run = short(tmp_path)
    ended = run.run(at_step(1, Pause()), Order(lambda event: isinstance(event, Paused), (command,)))
    assert ended.step == 1
    assert bool(run.states) == isinstance(command, StopAfterStep)


@pytest.mark.slow
def test_save_now_writes_a_state_too_and_goes_on(tmp_path: Path, straight: MadeRun) -> None:
    run = short(tmp_path)
    assert run.run(at_step(2, SaveNow())).outcome == DONE
    asked = [(event.what, event.step) for event in run.told(Saved) if event.reason == "asked for"]
    # Taken before the next step, done after it.
    assert asked == [("result", 3), ("state", 3)]
    assert_same(run.state(), straight.state())


@pytest.mark.slow
def test_files_are_made_when_asked_for_with_a_picture_and_the_run_goes_on(
    tmp_path: Path, straight: MadeRun
) -> None:
    run = short(tmp_path)
    assert run.run(at_step(2, MakeFiles(files=("checkpoint", "nonsense")))).outcome == DONE
    asked = [event for event in run.told(Saved) if event.reason == "asked for"]
    assert [(event.what, event.step) for event in asked] == [("checkpoint", 3)]
    assert [len(event.files) for event in run.told(Sampled) if event.step == 3] == [1]
    path = Path(asked[0].paths[0])
    assert path.with_name(f"{path.stem}.preview.png").is_file()
    assert_same(run.state(), straight.state())


@pytest.mark.slow
def test_sample_now_draws_and_goes_on(tmp_path: Path, straight: MadeRun) -> None:
    run = short(tmp_path)
    assert run.run(at_step(2, SampleNow()), at_step(4, SampleNow())).outcome == DONE
    assert [event.step for event in run.told(Sampled)] == [2, 3, 4]
    assert_same(run.state(), straight.state())


@pytest.mark.parametrize(("asked_at", "ends_at"), [(1, 2), pytest.param(2, 2, marks=pytest.mark.slow)])
def test_stop_at_the_end_of_the_epoch(tmp_path: Path, asked_at: int, ends_at: int) -> None:
    run = short(tmp_path)
    ended = run.run(at_step(asked_at, StopAtEpochEnd()))
    assert ended.outcome == DONE
    assert ended.step == ends_at
    assert run.states == [f"step-{ended.step:08d}"]
    assert run.files()[-1].stem.endswith(f"{ended.step:06d}")


@pytest.mark.slow
def test_stop_at_the_end_of_the_epoch_asked_before_the_first_step(tmp_path: Path) -> None:
    run = short(tmp_path)
    ended = run.run(in_phase("reading the model", StopAtEpochEnd()))
    assert (ended.outcome, ended.step) == (DONE, 2)
    assert run.go_on().step == 4


@pytest.mark.slow
def test_going_on_takes_back_the_stop_at_the_epoch_s_end(tmp_path: Path) -> None:
    run = short(tmp_path)
    assert run.run(at_step(1, StopAtEpochEnd(), GoOn())).step == 4


@pytest.mark.slow
def test_what_was_thrown_away_is_not_saved_by_a_later_cancel(tmp_path: Path) -> None:
    run = short(tmp_path)
    assert run.run(at_step(1, StopWithoutSaving(), StopAfterStep())).outcome == DISCARDED
    assert run.states == []


@pytest.mark.slow
def test_steps_are_counted_over_all_starts(tmp_path: Path, straight: MadeRun) -> None:
    run = short(tmp_path)
    run.run(at_step(3, StopAfterStep()))
    run.go_on()
    assert [event.step for event in run.told(Step)] == [1, 2, 3, 4]
    smoothed = [event.smoothed for event in run.told(Step)]
    assert smoothed == [event.smoothed for event in straight.told(Step)]


@pytest.mark.slow
def test_what_was_just_saved_is_not_written_again(tmp_path: Path) -> None:
    values = joined(SHORT, {"saving": {"state_every": "2 steps"}, "previews": {"every": "never"}})
    run = MadeRun(tmp_path, values, num_pictures=4)
    ended = run.run(at_step(2, StopAfterStep()))
    assert (ended.outcome, ended.step) == (CANCELLED, 2)
    assert [(event.what, event.step, event.reason) for event in run.told(Saved)] == [
        ("result", 2, "regular"),
        ("state", 2, "regular"),
    ]
    assert [result.path for result in ended.results] == run.files()
